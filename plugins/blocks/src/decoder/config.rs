//! `config.json` of language models, with the defaults of `transformers` (4.53.1).

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Dimensions and choices of a [`super::Llama`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of transformers.LlamaConfig and its relatives")]
pub struct LlamaConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Query, key and value have biases.
    pub qkv_bias: bool,
    /// Heads of queries and keys are normalised.
    pub head_norms: bool,
    /// The projection behind the attention has a bias.
    pub output_bias: bool,
    pub mlp_bias: bool,
    pub tie_word_embeddings: bool,
    /// The checkpoint holds query, key and value as one tensor, and gate and up as one.
    #[serde(default)]
    pub fused: bool,
    /// Tokens that a token sees, itself included.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// The first layer that has the window.
    pub first_window_layer: usize,
}

/// How rotary frequencies are scaled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of transformers.modeling_rope_utils")]
pub enum RopeScaling {
    Default,
    /// Positions are divided.
    Linear {
        factor: f32,
    },
    /// Long wavelengths are divided, as in Llama 3.1.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_max_position_embeddings: usize,
    },
    /// Frequencies follow time, height and width (Wang et al. 2024).
    Mrope {
        /// How many follow each.
        mrope_section: [usize; 3],
        /// The axes take turns, and time has what is left; else one has its frequencies behind those of another.
        #[serde(default)]
        mrope_interleaved: bool,
    },
}

impl LlamaConfig {
    /// Reads a configuration whose `model_type` is `llama`, `mistral`, `qwen2`, `qwen3` or `phi3`, or `kind` where it is absent
    /// or names a model built around one, as LLaVA's first releases do. What is absent is as `transformers` has it.
    ///
    /// # Errors
    /// Something is of another type or of no use, or asks for what is not built in.
    pub fn parse(kind: &str, raw: &Map<String, Value>) -> Result<Self, String> {
        let mut merged = defaults(kind)?;
        let told = raw.iter().filter(|(key, value)| !value.is_null() || *key == "sliding_window");
        told.for_each(|(key, value)| merged[key] = value.clone());
        let text = |key: &str| merged[key].as_str().unwrap_or_default().to_string();
        if text("hidden_act") != "silu" {
            return Err(format!("`hidden_act` is {}, expected \"silu\"", merged["hidden_act"]));
        }
        if raw.get("num_key_value_heads").is_none_or(Value::is_null) && !matches!(kind, "mistral" | "qwen3") {
            merged["num_key_value_heads"] = merged["num_attention_heads"].clone();
        }
        if merged["head_dim"].is_null() {
            let parts = [&merged["hidden_size"], &merged["num_attention_heads"]].map(|v| v.as_u64().unwrap_or(0));
            merged["head_dim"] = json!(parts[0].checked_div(parts[1]).ok_or("`num_attention_heads` is 0")?);
        }
        // The attention of LLaMA and of Qwen3 has a choice: all four biases or none.
        let bias = merged["attention_bias"] == json!(true) && matches!(kind, "llama" | "qwen3");
        merged["qkv_bias"] = json!(bias || kind == "qwen2");
        merged["output_bias"] = json!(bias);
        merged["head_norms"] = json!(kind == "qwen3");
        match kind {
            "qwen2" | "qwen3" if merged["use_sliding_window"] == json!(true) => {
                merged["first_window_layer"] = merged["max_window_layers"].clone();
            }
            "mistral" => {}
            "phi3" => {
                merged["fused"] = json!(true);
                if merged["partial_rotary_factor"] != json!(1.0) && merged["partial_rotary_factor"] != json!(1) {
                    let found = &merged["partial_rotary_factor"];
                    return Err(format!("`partial_rotary_factor` is {found}; only whole heads are turned here"));
                }
                if !merged["rope_scaling"].is_null() {
                    return Err(format!(
                        "`rope_scaling` of `phi3` is {}, which is not built in",
                        merged["rope_scaling"]
                    ));
                }
            }
            _ => merged["sliding_window"] = Value::Null,
        }
        RopeScaling::unify(&mut merged["rope_scaling"]);
        let config: Self =
            serde_json::from_value(merged).map_err(|e| format!("not a configuration of `{kind}`: {e}"))?;
        config.check().map(|()| config)
    }

    /// The window of `layer`, if it has one.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| layer >= self.first_window_layer)
    }

    /// Values of all queries of a token.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Values of all keys of a token.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    fn check(&self) -> Result<(), String> {
        let (heads, keys) = (self.num_attention_heads, self.num_key_value_heads);
        if keys == 0 || !heads.is_multiple_of(keys) {
            return Err(format!("{heads} heads of queries cannot share {keys} heads of keys"));
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(format!("`head_dim` is {}, expected an even number above 0", self.head_dim));
        }
        let half = self.head_dim / 2;
        match &self.rope_scaling {
            Some(scaling @ RopeScaling::Mrope { mrope_section, .. }) if scaling.axes(half).len() != half => {
                Err(format!("`mrope_section` is {mrope_section:?}, which does not sum up to half of a head, {half}"))
            }
            _ => Ok(()),
        }
    }
}

impl RopeScaling {
    /// Brings what files of any age say of a scaling, if anything, to one form.
    pub(super) fn unify(scaling: &mut Value) {
        if let Some(scaling) = scaling.as_object_mut() {
            // Older files say `type`; Qwen2-VL's say `default` beside the sections that make it another.
            let old = scaling.remove("type");
            let kind = scaling.entry("rope_type").or_insert(old.unwrap_or(json!("default")));
            if *kind == json!("default") && scaling.contains_key("mrope_section") {
                scaling["rope_type"] = json!("mrope");
            }
        }
    }

    /// A frequency, scaled.
    pub(super) fn scale(&self, frequency: f32) -> f32 {
        match *self {
            Self::Default | Self::Mrope { .. } => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings: trained } => {
                let trained = trained as f32;
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength < trained / high_freq_factor {
                    return frequency;
                }
                if wavelength > trained / low_freq_factor {
                    return frequency / factor;
                }
                let smooth = (trained / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }

    /// The axis that each of `count` frequencies follows: time, height or width.
    pub(super) fn axes(&self, count: usize) -> Vec<usize> {
        match *self {
            Self::Mrope { mrope_section: sections, mrope_interleaved: true } => {
                (0..count).map(|n| if n < 3 * sections[n % 3] { n % 3 } else { 0 }).collect()
            }
            Self::Mrope { mrope_section, .. } => {
                mrope_section.iter().enumerate().flat_map(|(axis, &count)| vec![axis; count]).collect()
            }
            _ => vec![0; count],
        }
    }
}

fn defaults(kind: &str) -> Result<Value, String> {
    let mut base = json!({
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": null, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6, "rope_theta": 1e4, "rope_scaling": null, "attention_bias": false, "mlp_bias": false,
        "tie_word_embeddings": false, "sliding_window": null, "first_window_layer": 0, "hidden_act": "silu"
    });
    let particular = match kind {
        "llama" => json!({}),
        "mistral" => json!({
            "intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 131072,
            "sliding_window": 4096
        }),
        "qwen2" => json!({
            "vocab_size": 151936, "intermediate_size": 22016, "max_position_embeddings": 32768,
            "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28
        }),
        "qwen3" => json!({
            "vocab_size": 151936, "intermediate_size": 22016, "head_dim": 128, "max_position_embeddings": 32768,
            "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28
        }),
        "phi3" => json!({
            "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5, "partial_rotary_factor": 1.0
        }),
        _ => {
            let known = "`llama`, `mistral`, `qwen2`, `qwen3` and `phi3`";
            return Err(format!("`{kind}` is no language model known here; known are {known}"));
        }
    };
    for (key, value) in particular.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, raw: Value) -> Result<LlamaConfig, String> {
        LlamaConfig::parse(kind, raw.as_object().unwrap())
    }

    #[test]
    fn what_is_absent_is_as_in_the_reference() {
        let llama = parse("llama", json!({"num_attention_heads": 16})).unwrap();
        assert_eq!((llama.head_dim, llama.num_key_value_heads, llama.qkv_bias), (256, 16, false));
        let mistral = parse("mistral", json!({})).unwrap();
        assert_eq!((mistral.num_key_value_heads, mistral.window(0)), (8, Some(4096)));
        assert_eq!(parse("mistral", json!({"sliding_window": null})).unwrap().window(0), None);
        let qwen = parse("qwen2", json!({"use_sliding_window": true, "max_window_layers": 3})).unwrap();
        assert_eq!((qwen.window(2), qwen.window(3), qwen.qkv_bias, qwen.output_bias), (None, Some(4096), true, false));
        assert_eq!(parse("qwen2", json!({"sliding_window": 32})).unwrap().window(40), None);
        let qwen = parse("qwen3", json!({"attention_bias": true, "num_attention_heads": 64})).unwrap();
        assert_eq!((qwen.head_dim, qwen.num_key_value_heads, qwen.head_norms), (128, 32, true));
        assert_eq!((qwen.qkv_bias, qwen.output_bias, qwen.window(40)), (true, true, None));
        let phi = parse("phi3", json!({"sliding_window": 2047, "num_attention_heads": 16})).unwrap();
        assert_eq!((phi.window(0), phi.num_key_value_heads, phi.fused, phi.qkv_bias), (Some(2047), 16, true, false));
        assert_eq!(parse("phi3", json!({})).unwrap().window(0), None);
    }

    #[test]
    fn scaling_by_its_old_and_its_new_name() {
        let linear = parse("llama", json!({"rope_scaling": {"type": "linear", "factor": 4.0}})).unwrap();
        assert_eq!(linear.rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
        let sections = json!({"rope_scaling": {"type": "default", "mrope_section": [16, 24, 24]}});
        let axes = parse("qwen2", sections).unwrap().rope_scaling.unwrap().axes(64);
        assert_eq!(axes, [vec![0; 16], vec![1; 24], vec![2; 24]].concat());
        let turns = RopeScaling::Mrope { mrope_section: [4, 2, 1], mrope_interleaved: true };
        assert_eq!(turns.axes(7), [0, 1, 2, 0, 1, 0, 0]);
        let wrong = parse("llama", json!({"rope_scaling": {"rope_type": "yarn"}})).unwrap_err();
        assert!(wrong.contains("yarn"), "{wrong}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(parse("gpt", json!({})).unwrap_err().contains("known are `llama`"));
        assert!(parse("llama", json!({"hidden_act": "gelu"})).unwrap_err().contains("\"silu\""));
        assert!(parse("llama", json!({"num_key_value_heads": 5})).unwrap_err().contains("cannot share"));
        assert!(parse("phi3", json!({"partial_rotary_factor": 0.5})).unwrap_err().contains("whole heads"));
        let long = json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}});
        assert!(parse("phi3", long).unwrap_err().contains("longrope"));
    }
}
