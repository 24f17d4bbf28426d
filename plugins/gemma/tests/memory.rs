//! How much memory a checkpoint takes, from opening it to an answer: its weights and a tenth of them at most.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic anywhere and says what it measured")]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use plugin_api::{Decoding, Image, Inspect, Model, Open};
use serde_json::{Map, Value, json};

const VOCABULARY: usize = 131_072;
const WIDTH: usize = 640;
const LAYERS: usize = 18;
const MLP: usize = 5120;
const QUERIES: usize = 8;
const KEYS: usize = 4;
const HEAD: usize = 64;
const SIGHT: usize = 192;
const SIGHT_LAYERS: usize = 3;

#[test]
#[cfg(target_os = "linux")]
fn a_checkpoint_takes_its_weights_and_a_tenth() {
    let dir = tempfile::tempdir().unwrap();
    let weights = write(dir.path());
    let before = resident("VmRSS");
    // The peak is that of the process, so the smaller one comes first.
    for (dtype, weights) in [("bf16", weights), ("f32", 2 * weights)] {
        let options = Map::from_iter([("slots".to_string(), json!(1))]);
        let open = Open { weights: Some(dir.path().into()), dtype: dtype.into(), options, ..Default::default() };
        let model = gemma::gemma3::open(open).unwrap();
        let opened = resident("VmHWM") - before;
        let image = Image { width: 40, height: 30, rgb: &[90; 3600] };
        let decoding = Decoding { max_new_tokens: 3, ..Default::default() };
        let asked = Inspect { prompt: Some("Is there a nodule?".into()), decoding, ..Default::default() };
        assert_eq!(model.inspect(&asked, &[image]).unwrap().generation.unwrap().new_tokens, 3);
        let answered = resident("VmHWM") - before;
        let [opened, answered] = [opened, answered].map(|peak| peak as f64 / weights as f64);
        eprintln!("{} MB in {dtype}: {opened:.3} of them to open, {answered:.3} to answer", weights >> 20);
        assert!(opened < 1.1 && answered < 1.1);
    }
}

/// A checkpoint of zeros with the small files of the case `medgemma`; returns the size of its weights in bytes.
fn write(dir: &Path) -> usize {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/gemma3/medgemma");
    for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"] {
        fs::copy(case.join(file), dir.join(file)).unwrap();
    }
    let mut config: Value = serde_json::from_str(&fs::read_to_string(case.join("config.json")).unwrap()).unwrap();
    config["text_config"] = json!({
        "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": MLP, "num_hidden_layers": LAYERS,
        "num_attention_heads": QUERIES, "num_key_value_heads": KEYS, "head_dim": HEAD, "sliding_window": 64
    });
    config["vision_config"]["hidden_size"] = json!(SIGHT);
    config["vision_config"]["intermediate_size"] = json!(4 * SIGHT);
    config["vision_config"]["num_hidden_layers"] = json!(SIGHT_LAYERS);
    fs::write(dir.join("config.json"), config.to_string()).unwrap();

    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors() {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}));
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    // What is not written is zero, and takes no room on the disk.
    file.set_len((8 + header.len() + end) as u64).unwrap();
    end
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    add("language_model.model.embed_tokens.weight".into(), &[VOCABULARY, WIDTH]);
    add("language_model.model.norm.weight".into(), &[WIDTH]);
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, shape: &[usize]| add(format!("language_model.model.layers.{layer}.{name}.weight"), shape);
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            add(&format!("{norm}_layernorm"), &[WIDTH]);
        }
        for (name, heads) in [("q_proj", QUERIES), ("k_proj", KEYS), ("v_proj", KEYS)] {
            add(&format!("self_attn.{name}"), &[heads * HEAD, WIDTH]);
        }
        add("self_attn.o_proj", &[WIDTH, QUERIES * HEAD]);
        add("self_attn.q_norm", &[HEAD]);
        add("self_attn.k_norm", &[HEAD]);
        add("mlp.gate_proj", &[MLP, WIDTH]);
        add("mlp.up_proj", &[MLP, WIDTH]);
        add("mlp.down_proj", &[WIDTH, MLP]);
    }
    let mut part = |name: &str, output: usize, input: &[usize]| {
        let name = format!("vision_tower.vision_model.{name}");
        add(format!("{name}.weight"), &[&[output], input].concat());
        add(format!("{name}.bias"), &[output]);
    };
    part("embeddings.patch_embedding", SIGHT, &[3, 7, 7]);
    part("post_layernorm", SIGHT, &[]);
    for layer in 0..SIGHT_LAYERS {
        let mut part =
            |name: &str, output, input: &[usize]| part(&format!("encoder.layers.{layer}.{name}"), output, input);
        for norm in ["layer_norm1", "layer_norm2"] {
            part(norm, SIGHT, &[]);
        }
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            part(&format!("self_attn.{name}"), SIGHT, &[SIGHT]);
        }
        part("mlp.fc1", 4 * SIGHT, &[SIGHT]);
        part("mlp.fc2", SIGHT, &[4 * SIGHT]);
    }
    add("vision_tower.vision_model.embeddings.position_embedding.weight".into(), &[16, SIGHT]);
    add("multi_modal_projector.mm_input_projection_weight".into(), &[SIGHT, WIDTH]);
    add("multi_modal_projector.mm_soft_emb_norm.weight".into(), &[SIGHT]);
    all
}

/// Bytes under a key of the process's status.
fn resident(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
