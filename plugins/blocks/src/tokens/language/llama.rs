//! `tokenizer.model` with byte pairs; reference `convert_slow_tokenizer.LlamaConverter`.

use std::{cmp::Ordering, collections::HashMap, path::Path};

use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, Tokenizer,
    decoders::{byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip},
    models::bpe::{BPE, Vocab},
    normalizers::{Prepend, Replace, Sequence as Normalizers},
    pre_tokenizers::metaspace::{Metaspace, PrependScheme},
};

use super::config::{Class, Config};
use crate::{
    Error, Result,
    tokens::sentencepiece::{Algorithm, ModelFile, SPACE, kind},
};

/// A tokenizer whose added tokens are the file's symbols of control and of the user.
pub fn from_pieces(path: &Path, config: &Config) -> Result<Tokenizer> {
    let file = ModelFile::read(path)?;
    if config.class != Class::Llama {
        let reason = "without `tokenizer.json`, only a `tokenizer_class` of `LlamaTokenizer` can be read";
        return Err(Error::invalid(path, reason));
    }
    if file.algorithm != Algorithm::BytePairs {
        return Err(Error::invalid(path, format!("its pieces are {}, expected byte pairs", file.algorithm)));
    }
    convert(file, config).map_err(|e| Error::invalid(path, e.to_string()))
}

fn convert(file: ModelFile, config: &Config) -> tokenizers::Result<Tokenizer> {
    let mut pieces: Vec<_> = file.pieces.iter().map(|piece| (piece.text.as_str(), piece.score)).collect();
    for (id, piece) in pieces.iter_mut().enumerate().take(3) {
        *piece = (config.content(id as u32).unwrap_or(piece.0), 0.0);
    }
    let merges = merges(&pieces);
    let vocab: Vocab = pieces.iter().enumerate().map(|(id, (text, _))| (text.to_string(), id as u32)).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .unk_token(file.unknown)
        .fuse_unk(true)
        .byte_fallback(true)
        .build()?;

    let prefix = config.flag("add_prefix_space").unwrap_or(true);
    let space = SPACE.to_string();
    let mut decoders = vec![
        DecoderWrapper::Replace(Replace::new(space.as_str(), " ")?),
        DecoderWrapper::ByteFallback(ByteFallback::new()),
        DecoderWrapper::Fuse(Fuse::new()),
    ];
    if prefix {
        decoders.push(DecoderWrapper::Strip(Strip::new(' ', 1, 0)));
    }
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    if config.flag("legacy").unwrap_or(true) {
        let mut steps = vec![NormalizerWrapper::Replace(Replace::new(" ", space.as_str())?)];
        if prefix {
            steps.insert(0, NormalizerWrapper::Prepend(Prepend::new(space)));
        }
        tokenizer.with_normalizer(Some(Normalizers::new(steps)))?;
    } else {
        let scheme = if prefix { PrependScheme::First } else { PrependScheme::Never };
        tokenizer.with_pre_tokenizer(Some(Metaspace::new(SPACE, scheme, false)));
    }
    let symbols = file.pieces.iter().filter(|piece| matches!(piece.kind, kind::CONTROL | kind::USER_DEFINED));
    let symbol = |special| move |text: &String| AddedToken::from(text.clone(), special).normalized(false);
    let symbols: Vec<_> = symbols.map(|piece| symbol(piece.kind == kind::CONTROL)(&piece.text)).collect();
    tokenizer.add_tokens(symbols)?;
    Ok(tokenizer)
}

/// All ways to join two pieces to a third, the most valuable first; reference `generate_merges`.
fn merges(pieces: &[(&str, f32)]) -> Vec<(String, String)> {
    let ids: HashMap<_, _> = pieces.iter().enumerate().map(|(id, (text, _))| (*text, id)).collect();
    let mut merges = Vec::new();
    for (text, score) in pieces {
        let cuts = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
        let mut local: Vec<_> = cuts.filter_map(|(l, r)| Some(((ids.get(l)?, ids.get(r)?), (l, r)))).collect();
        local.sort_by_key(|(ids, _)| *ids);
        merges.extend(local.into_iter().map(|(_, (l, r))| (*score, l.chars().count(), r.chars().count(), l, r)));
    }
    merges.sort_by(|a, b| {
        let scores = b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal);
        scores.then((b.1, b.2).cmp(&(a.1, a.2)))
    });
    merges.into_iter().map(|(_, _, _, l, r)| (l.to_string(), r.to_string())).collect()
}
