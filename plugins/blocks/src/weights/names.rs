//! The key-name table: our names against those of a public checkpoint.

/// How a release names its tensors. This is data: one table for each family of checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Pairs (ours, public), matched by leading segments, the first match wins; `*` stands for one segment, and the
    /// rest of the name is kept. A name that matches nothing is the same on both sides.
    pub rename: &'static [(&'static str, &'static str)],
    /// Tensors of the checkpoint that the model does not need; a leading `*` stands for any beginning, a trailing one
    /// for any end.
    pub ignore: &'static [&'static str],
}

impl Names {
    /// The checkpoint's name of our `name`.
    pub fn public(&self, name: &str) -> String {
        self.rename.iter().find_map(|(ours, public)| rename(name, ours, public)).unwrap_or_else(|| name.to_string())
    }

    /// Whether the checkpoint's tensor `name` may stay unused.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignore.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(start)) => name.starts_with(start),
            _ => name == *pattern,
        })
    }
}

fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let mut rest = name.split('.');
    let mut wild = Vec::new();
    for segment in from.split('.') {
        match rest.next()? {
            found if segment == "*" => wild.push(found),
            found if segment == found => {}
            _ => return None,
        }
    }
    let mut wild = wild.into_iter();
    let head = to.split('.').map(|segment| if segment == "*" { wild.next().unwrap_or("*") } else { segment });
    Some(head.chain(rest).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names {
        rename: &[("tower.layers.*.norm", "t.h.*.ln"), ("tower.position", "t.pos.weight")],
        ignore: &["*.position_ids", "extra", "decoder.*"],
    };

    #[test]
    fn renames_by_leading_segments() {
        assert_eq!(NAMES.public("tower.layers.11.norm.bias"), "t.h.11.ln.bias");
        assert_eq!(NAMES.public("tower.position"), "t.pos.weight");
        assert_eq!(NAMES.public("tower.positions"), "tower.positions");
        assert_eq!(NAMES.public("scale"), "scale");
    }

    #[test]
    fn ignores_what_is_listed() {
        assert!(NAMES.ignores("text.position_ids"));
        assert!(NAMES.ignores("extra"));
        assert!(!NAMES.ignores("extra.weight"));
        assert!(NAMES.ignores("decoder.layers.0.weight"));
        assert!(!NAMES.ignores("my.decoder.weight"));
    }
}
