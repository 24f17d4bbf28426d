//! Decoders against `transformers`, on the checkpoints that `tests/parity/decoder.py` wrote, and a real one; on the device
//! that `MEDVLM_TEST_DEVICE` names, else on the CPU.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic anywhere and says what it skips")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use blocks::{
    Result,
    decoder::{Cache, Decoder, Llama, LlamaConfig, Opt, OptConfig, Packing, Span},
    generate::{Answer, Conversation, Decoding, Finish, Prompt, Sampling, generate, log_likelihoods},
    weights::{Names, Weights},
};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

const OPT_NAMES: Names = Names {
    rename: &[
        ("tokens", "model.decoder.embed_tokens"),
        ("position", "model.decoder.embed_positions.weight"),
        ("inward", "model.decoder.project_in"),
        ("outward", "model.decoder.project_out"),
        ("layers.*.norm1", "model.decoder.layers.*.self_attn_layer_norm"),
        ("layers.*.query", "model.decoder.layers.*.self_attn.q_proj"),
        ("layers.*.key", "model.decoder.layers.*.self_attn.k_proj"),
        ("layers.*.value", "model.decoder.layers.*.self_attn.v_proj"),
        ("layers.*.output", "model.decoder.layers.*.self_attn.out_proj"),
        ("layers.*.norm2", "model.decoder.layers.*.final_layer_norm"),
        ("layers", "model.decoder.layers"),
        ("norm", "model.decoder.final_layer_norm"),
        ("head", "lm_head"),
    ],
    ignore: &["lm_head.weight"],
};
const LLAMAS: [&str; 5] = ["llama", "llama3", "mistral", "qwen2", "qwen3"];
const CASES: [&str; 7] = ["llama", "llama3", "mistral", "qwen2", "qwen3", "opt", "opt-post"];

fn device() -> Device {
    blocks::device::device(&std::env::var("MEDVLM_TEST_DEVICE").unwrap_or_default()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/decoder")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn open(dir: &Path) -> Box<dyn Decoder> {
    let raw = json(&dir.join("config.json"));
    if raw["model_type"] != "opt" {
        return Box::new(open_llama(dir));
    }
    let config = OptConfig::parse(raw.as_object().unwrap()).unwrap();
    let weights = Weights::open(dir, &OPT_NAMES, DType::F32, &device()).unwrap();
    let model = Opt::new(&config, &weights).unwrap();
    weights.finish().unwrap();
    Box::new(model)
}

fn open_llama(dir: &Path) -> Llama {
    let raw = json(&dir.join("config.json"));
    let kind = raw["model_type"].as_str().unwrap();
    let config = LlamaConfig::parse(kind, raw.as_object().unwrap()).unwrap();
    let weights = Weights::open(dir, &Llama::NAMES, DType::F32, &device()).unwrap();
    let model = Llama::new(&config, &weights).unwrap();
    weights.finish().unwrap();
    model
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

fn goldens(case: &str) -> (Vec<Value>, Vec<Tensor>) {
    let dir = root().join(case);
    let arrays = candle_core::safetensors::load(dir.join("goldens.safetensors"), &device()).unwrap();
    let cases = json(&dir.join("goldens.json")).as_array().unwrap().clone();
    let logits = (0..cases.len()).map(|n| arrays[&format!("logits.{n}")].clone()).collect();
    (cases, logits)
}

/// Prompts in their order, and the answers by key.
struct Asked<'a> {
    model: &'a dyn Decoder,
    waiting: Vec<(usize, Vec<u32>)>,
    answers: BTreeMap<usize, Answer>,
    steps: usize,
}

impl<'a> Asked<'a> {
    fn new(model: &'a dyn Decoder, prompts: impl Iterator<Item = Vec<u32>>) -> Self {
        let waiting: Vec<_> = prompts.enumerate().collect();
        Self { model, waiting: waiting.into_iter().rev().collect(), answers: BTreeMap::new(), steps: 0 }
    }

    fn ids(&self) -> Vec<Vec<u32>> {
        self.answers.values().map(|answer| answer.ids.clone()).collect()
    }
}

impl Conversation for Asked<'_> {
    fn prompts(&mut self, room: usize) -> Result<Vec<(usize, Prompt)>> {
        let next = (0..room).map_while(|_| self.waiting.pop());
        next.map(|(key, ids)| Ok((key, Prompt::new(self.model.embed(&ids)?, ids)))).collect()
    }

    fn text(&self, ids: &[u32]) -> Result<String> {
        Ok(ids.iter().map(|id| format!("{id} ")).collect())
    }

    fn answer(&mut self, key: usize, answer: Answer) -> Result<()> {
        assert!(self.answers.insert(key, answer).is_none());
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        Ok(())
    }
}

fn greedy(slots: usize) -> Decoding {
    Decoding { max_new_tokens: 24, stop_ids: Vec::new(), stop: Vec::new(), sampling: Sampling::default(), slots }
}

#[test]
fn logits_of_packed_prompts_of_different_lengths() {
    for case in CASES {
        let (model, (cases, logits)) = (open(&root().join(case)), goldens(case));
        let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt"])).collect();
        let spans = prompts.iter().enumerate().map(|(slot, p)| Span { slot, cached: 0, count: p.len() });
        let packing = Packing::new(spans.collect());
        let mut cache = Cache::new(model.cache_shape(), 4, 40, &device(), DType::F32).unwrap();
        let states = model.forward(&model.embed(&prompts.concat()).unwrap(), &packing, &mut cache).unwrap();
        let found = model.logits(&states).unwrap();
        let expected = Tensor::cat(&logits, 0).unwrap();
        let largest = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let difference = difference(&found, &expected);
        assert!(difference < 1e-5 * largest.max(1.0), "{case}: {difference} of {largest}");
    }
}

#[test]
fn greedy_tokens_whatever_the_batch() {
    for case in CASES {
        let (model, (cases, logits)) = (open(&root().join(case)), goldens(case));
        for slots in [1, 3, 8] {
            let mut asked = Asked::new(&*model, cases.iter().map(|case| ids(&case["prompt"])));
            generate(&*model, &greedy(slots), &mut asked).unwrap();
            let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["greedy"])).collect();
            assert_eq!(asked.ids(), expected, "{case} with {slots} slots");
            for (answer, logits) in asked.answers.values().zip(&logits) {
                let last = logits.get(logits.dim(0).unwrap() - 1).unwrap();
                assert!(difference(&answer.first_logits, &last) < 1e-3);
                assert_eq!(answer.finish, Finish::Length);
            }
        }
        let sampling = Sampling { repetition_penalty: 1.3, ..Sampling::default() };
        let mut asked = Asked::new(&*model, cases.iter().map(|case| ids(&case["prompt"])));
        generate(&*model, &Decoding { sampling, ..greedy(3) }, &mut asked).unwrap();
        let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["penalised"])).collect();
        assert_eq!(asked.ids(), expected, "{case} with a penalty");
    }
}

#[test]
fn tokens_without_a_cache_are_the_same() {
    let (model, (cases, _)) = (open(&root().join("mistral")), goldens("mistral"));
    let mut ids = ids(&cases[2]["prompt"]);
    let start = ids.len();
    for _ in 0..24 {
        let packing = Packing::new(vec![Span { slot: 0, cached: 0, count: ids.len() }]);
        let mut cache = Cache::new(model.cache_shape(), 1, ids.len(), &device(), DType::F32).unwrap();
        let states = model.forward(&model.embed(&ids).unwrap(), &packing, &mut cache).unwrap();
        let logits = model.logits(&states.narrow(0, ids.len() - 1, 1).unwrap()).unwrap();
        ids.push(logits.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0]);
    }
    assert_eq!(ids[start..], self::ids(&cases[2]["greedy"]));
}

#[test]
fn finished_sequences_leave_and_waiting_ones_join() {
    let (model, (cases, _)) = (open(&root().join("llama")), goldens("llama"));
    let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["greedy"])).collect();
    // The third token of the first answer ends answers, and so does a string of two tokens of the third one.
    let stop_ids = vec![expected[0][2]];
    let stop = vec![format!("{} {} ", expected[2][4], expected[2][5])];
    let decoding = Decoding { stop_ids: stop_ids.clone(), stop: stop.clone(), ..greedy(2) };
    let mut asked = Asked::new(&*model, cases.iter().map(|case| ids(&case["prompt"])));
    generate(&*model, &decoding, &mut asked).unwrap();
    let cut = expected.iter().map(|ids| {
        let by_id = ids.iter().position(|id| stop_ids.contains(id)).map(|at| at + 1);
        let by_text = (1..=ids.len())
            .find(|&n| ids[..n].iter().map(|id| format!("{id} ")).collect::<String>().contains(&stop[0]));
        ids[..by_id.unwrap_or(ids.len()).min(by_text.unwrap_or(ids.len()))].to_vec()
    });
    let cut: Vec<Vec<u32>> = cut.collect();
    assert_eq!(asked.ids(), cut);
    assert_eq!(asked.answers[&0].finish, Finish::Stop);
    assert_eq!(asked.answers[&2].finish, Finish::Stop);
    // With two slots, the sum of all tokens takes at least half as many steps; one after the other takes them all.
    let tokens: usize = cut.iter().map(Vec::len).sum();
    assert!(asked.steps < tokens * 3 / 4, "{} steps for {tokens} tokens", asked.steps);
}

#[test]
fn likelihoods_of_options() {
    for case in CASES {
        let (model, (cases, _)) = (open(&root().join(case)), goldens(case));
        for case in &cases {
            let prompt = ids(&case["prompt"]);
            let prompt = Prompt::new(model.embed(&prompt).unwrap(), prompt);
            let options: Vec<Vec<u32>> = serde_json::from_value(case["options"].clone()).unwrap();
            let found = log_likelihoods(&*model, &prompt, &options).unwrap();
            let expected: Vec<f32> = serde_json::from_value(case["likelihoods"].clone()).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }
}

#[test]
fn what_is_trained_is_what_is_run() {
    for case in LLAMAS.iter().filter(|case| !["mistral", "qwen2"].contains(case)) {
        let (model, (cases, logits)) = (open_llama(&root().join(case)), goldens(case));
        let embedded = model.embed(&ids(&cases[3]["prompt"])).unwrap();
        let batch = Tensor::stack(&[&embedded, &embedded], 0).unwrap();
        let found = model.train(&batch).unwrap().get(1).unwrap();
        assert!(difference(&found, &logits[3]) < 1e-3, "{case}");
    }
}

#[test]
fn branches_that_are_trained_together_do_not_see_each_other() {
    let (model, (cases, _)) = (open_llama(&root().join("llama")), goldens("llama"));
    let ids = ids(&cases[3]["prompt"]);
    let (common, branches) = ids.split_at(ids.len() / 2);
    let count = |branch: usize| if branch == 0 { common.len() } else { branches.len() };
    // Both branches begin where the common part ends: the second one is the first one backwards.
    let backwards: Vec<u32> = branches.iter().rev().copied().collect();
    let tokens: Vec<(usize, usize)> = (0..3)
        .flat_map(|branch| (0..count(branch)).map(move |at| (branch, at + usize::from(branch > 0) * common.len())))
        .collect();
    let sees = |a: (usize, usize), b: (usize, usize)| (b.0 == 0 || b.0 == a.0) && b.1 <= a.1;
    let hidden = |(a, b)| if sees(a, b) { 0.0 } else { f32::NEG_INFINITY };
    let mask = tokens.iter().flat_map(|&a| tokens.iter().map(move |&b| (a, b))).map(hidden).collect::<Vec<f32>>();
    let mask = Tensor::from_vec(mask, (tokens.len(), tokens.len()), &device()).unwrap();
    let packing = Packing::new(vec![Span { slot: 0, cached: 0, count: tokens.len() }]);
    let packing = packing.at(tokens.iter().map(|&(_, at)| [at as u32; 3]).collect());
    let logits = |ids: &[u32], layout: Option<(&Packing, &Tensor)>| {
        let embedded = model.embed(ids).unwrap().unsqueeze(0).unwrap();
        let logits = layout.map_or_else(|| model.train(&embedded), |(p, m)| model.train_with(&embedded, p, m));
        logits.unwrap().get(0).unwrap()
    };
    let together = logits(&[common, branches, &backwards].concat(), Some((&packing, &mask)));
    for (start, branch) in [(common.len(), branches), (ids.len(), &backwards)] {
        let alone = logits(&[common, branch].concat(), None).narrow(0, common.len(), branch.len()).unwrap();
        assert!(difference(&together.narrow(0, start, branch.len()).unwrap(), &alone) < 1e-5);
    }
}

#[test]
fn a_real_model_tells_its_story() {
    let Some(data) = std::env::var_os("MEDVLM_REAL_DATA") else {
        eprintln!("skipped: MEDVLM_REAL_DATA is unset");
        return;
    };
    let dir = Path::new(&data).join("../models/stories15m");
    let model = open(&dir);
    let expected = ids(&json(&dir.join("greedy_reference.json"))["greedy_ids"]);
    let prompt = expected[..5].to_vec();
    let mut asked = Asked::new(&*model, [prompt].into_iter());
    generate(&*model, &Decoding { max_new_tokens: expected.len() - 5, ..greedy(1) }, &mut asked).unwrap();
    assert_eq!(asked.ids()[0], expected[5..]);
}

#[test]
fn learned_positions_end() {
    let (model, (cases, _)) = (open(&root().join("opt")), goldens("opt"));
    assert_eq!(model.context(), Some(60));
    let prompt = ids(&cases[3]["prompt"]);
    let mut asked = Asked::new(&*model, [prompt.clone()].into_iter());
    generate(&*model, &Decoding { max_new_tokens: 99, ..greedy(1) }, &mut asked).unwrap();
    // All 60 positions were read; the token that the last of them suggests has none.
    assert_eq!(asked.ids()[0].len(), 60 - prompt.len() + 1);
    let embedded = Prompt::new(model.embed(&[1; 61]).unwrap(), vec![1; 61]);
    let error = log_likelihoods(&*model, &embedded, &[vec![5]]).unwrap_err().to_string();
    assert!(error.contains("a sequence of 61 tokens exceeds the context of 60"), "{error}");
}
