//! How much memory a checkpoint takes, from opening it to an answer: its weights and a tenth of them at most.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic anywhere and says what it measured")]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use plugin_api::{
    Array, Blob, Decoding, Events, Generation, Image, Inspect, Model, Open, Request, Sink, message::event,
};
use serde_json::{Map, Value, json};

/// What decides how large a checkpoint is.
struct Shape {
    vocabulary: usize,
    width: usize,
    layers: usize,
    mlp: usize,
    queries: usize,
    keys: usize,
    head: usize,
    sight: usize,
    sight_layers: usize,
    sight_mlp: usize,
    sight_heads: usize,
    /// Sides of the image and of a patch, in pixels.
    pixels: [usize; 2],
    /// Tokens of an image.
    tokens: usize,
}

const SMALL: Shape = Shape {
    vocabulary: 131_072,
    width: 640,
    layers: 18,
    mlp: 5120,
    queries: 8,
    keys: 4,
    head: 64,
    sight: 192,
    sight_layers: 3,
    sight_mlp: 768,
    sight_heads: 3,
    pixels: [30, 7],
    tokens: 4,
};

/// MedGemma 4B.
const PUBLISHED: Shape = Shape {
    vocabulary: 262_208,
    width: 2560,
    layers: 34,
    mlp: 10_240,
    queries: 8,
    keys: 4,
    head: 256,
    sight: 1152,
    sight_layers: 27,
    sight_mlp: 4304,
    sight_heads: 16,
    pixels: [896, 14],
    tokens: 256,
};

#[test]
#[cfg(target_os = "linux")]
fn a_checkpoint_takes_its_weights_and_a_tenth() {
    if gpu().is_some() {
        eprintln!("skipped: the memory of a process that uses a GPU is another matter");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let weights = write(dir.path(), &SMALL);
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

/// `MEDVLM_TEST_DEVICE` names the GPU, of which nothing else may use memory meanwhile.
#[test]
fn a_4b_checkpoint_and_eight_questions_at_a_time_fit_a_gpu_of_12_gb() {
    let Some(device) = gpu() else {
        eprintln!("skipped: MEDVLM_TEST_DEVICE names no GPU");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let weights = write(dir.path(), &PUBLISHED);
    let (before, done) = (used(), AtomicBool::new(false));
    let peak = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(used());
            }
            peak
        });
        let open = Open { weights: Some(dir.path().into()), device, dtype: "bf16".into(), ..Default::default() };
        let model = gemma::gemma3::open(open).unwrap();
        let opened = used() - before;
        let pixels = vec![90; 3 * 1024 * 768];
        let images = [Image { width: 1024, height: 768, rgb: &pixels }; 8];
        let request = |index: u32| Request {
            index,
            prompt: "Is there a nodule in the right upper lobe?".into(),
            images: vec![index],
            ..Default::default()
        };
        let decoding = Decoding { max_new_tokens: 128, slots: 8, ..Default::default() };
        let heard = Heard::default();
        let requests: Vec<Request> = (0..8).map(request).collect();
        model.generate(&requests, &images, &decoding, &Sink::new(&heard)).unwrap();
        assert_eq!(heard.0.into_inner().unwrap(), vec![128; 8]);
        done.store(true, Ordering::Relaxed);
        eprintln!("{} MB of weights: {opened} MB to open", weights >> 20);
        watch.join().unwrap()
    });
    eprintln!("{peak} MB at most, of which {before} MB were used before");
    assert!(peak - before < 12_000);
}

/// The GPU that tests are to use.
fn gpu() -> Option<String> {
    std::env::var("MEDVLM_TEST_DEVICE").ok().filter(|device| device.starts_with("cuda"))
}

/// How many tokens each answer has.
#[derive(Default)]
struct Heard(Mutex<Vec<u32>>);

impl Events for Heard {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        if op == event::FINISHED {
            self.0.lock().unwrap().push(serde_json::from_str::<Generation>(header)?.new_tokens);
        }
        Ok(("null".into(), Vec::new()))
    }
}

/// Megabytes that are in use on the GPU.
fn used() -> usize {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
    let output = Command::new("nvidia-smi").args(query).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// A checkpoint of zeros with the small files of the case `medgemma`; returns the size of its weights in bytes.
fn write(dir: &Path, shape: &Shape) -> usize {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/gemma3/medgemma");
    for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"] {
        let text = fs::read_to_string(case.join(file)).unwrap();
        let side = shape.pixels[0];
        let text = text.replace("\"height\": 30", &format!("\"height\": {side}"));
        fs::write(dir.join(file), text.replace("\"width\": 30", &format!("\"width\": {side}"))).unwrap();
    }
    let mut config: Value = serde_json::from_str(&fs::read_to_string(case.join("config.json")).unwrap()).unwrap();
    config["text_config"] = json!({
        "vocab_size": shape.vocabulary, "hidden_size": shape.width, "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.queries, "num_key_value_heads": shape.keys,
        "head_dim": shape.head, "sliding_window": 64
    });
    config["mm_tokens_per_image"] = json!(shape.tokens);
    for (key, value) in [
        ("hidden_size", shape.sight),
        ("intermediate_size", shape.sight_mlp),
        ("num_hidden_layers", shape.sight_layers),
        ("num_attention_heads", shape.sight_heads),
        ("image_size", shape.pixels[0]),
        ("patch_size", shape.pixels[1]),
    ] {
        config["vision_config"][key] = json!(value);
    }
    fs::write(dir.join("config.json"), config.to_string()).unwrap();

    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors(shape) {
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

fn tensors(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let Shape { width, head, mlp, sight, sight_mlp, .. } = *shape;
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    add("language_model.model.embed_tokens.weight".into(), &[shape.vocabulary, width]);
    add("language_model.model.norm.weight".into(), &[width]);
    for layer in 0..shape.layers {
        let mut add =
            |name: &str, shape: &[usize]| add(format!("language_model.model.layers.{layer}.{name}.weight"), shape);
        for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
            add(&format!("{norm}_layernorm"), &[width]);
        }
        for (name, heads) in [("q_proj", shape.queries), ("k_proj", shape.keys), ("v_proj", shape.keys)] {
            add(&format!("self_attn.{name}"), &[heads * head, width]);
        }
        add("self_attn.o_proj", &[width, shape.queries * head]);
        add("self_attn.q_norm", &[head]);
        add("self_attn.k_norm", &[head]);
        add("mlp.gate_proj", &[mlp, width]);
        add("mlp.up_proj", &[mlp, width]);
        add("mlp.down_proj", &[width, mlp]);
    }
    let mut part = |name: &str, output: usize, input: &[usize]| {
        let name = format!("vision_tower.vision_model.{name}");
        add(format!("{name}.weight"), &[&[output], input].concat());
        add(format!("{name}.bias"), &[output]);
    };
    part("embeddings.patch_embedding", sight, &[3, shape.pixels[1], shape.pixels[1]]);
    part("post_layernorm", sight, &[]);
    for layer in 0..shape.sight_layers {
        let mut part =
            |name: &str, output, input: &[usize]| part(&format!("encoder.layers.{layer}.{name}"), output, input);
        for norm in ["layer_norm1", "layer_norm2"] {
            part(norm, sight, &[]);
        }
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            part(&format!("self_attn.{name}"), sight, &[sight]);
        }
        part("mlp.fc1", sight_mlp, &[sight]);
        part("mlp.fc2", sight, &[sight_mlp]);
    }
    add(
        "vision_tower.vision_model.embeddings.position_embedding.weight".into(),
        &[(shape.pixels[0] / shape.pixels[1]).pow(2), sight],
    );
    add("multi_modal_projector.mm_input_projection_weight".into(), &[sight, width]);
    add("multi_modal_projector.mm_soft_emb_norm.weight".into(), &[sight]);
    all
}

/// Bytes under a key of the process's status.
fn resident(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
