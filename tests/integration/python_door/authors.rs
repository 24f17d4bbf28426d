//! The rows `NAME-authors` run the authors' own code. Neither it nor weights are part of a test, so stand-ins take its
//! place: packages with the published signatures, which record what they are called with.

use std::{fs, path::Path, process::Command};

use integration_tests::{Bench, Said, dist, root};
use serde_json::{Value, json};

use super::{lay_out, python, skip};

/// A workplace with the rows as they are shipped, a picture, and a folder for weights; none without Python.
fn bench() -> Option<Bench> {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        skip("there is no python3 on this machine");
        return None;
    }
    let bench = Bench::new();
    lay_out(&bench);
    fs::copy(dist().join("plugins/python.toml"), bench.path("plugins/python.toml")).unwrap();
    bench.dots(4);
    fs::create_dir(bench.path("weights")).unwrap();
    Some(bench)
}

/// `medvlm` with the stand-ins importable.
fn command(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = bench.command();
    command.env("PYTHONPATH", root().join("tests/integration/python_door/stand_ins"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("MEDVLM_PYTHON", "python3");
    command.env("MEDVLM_RECORD", bench.path("record")).args(arguments);
    command
}

/// Asks a row about a picture; what it showed, and what the stand-in was called with, by name of the call.
fn infer(bench: &Bench, row: &str, more: &[&str]) -> (Value, Calls) {
    let _ = fs::remove_file(bench.path("record"));
    let (image, weights) = (bench.path("data/dots/3.png"), bench.path("weights"));
    let (image, weights) = (image.to_string_lossy(), weights.to_string_lossy());
    let asked = ["infer", row, "--image", &image, "--prompt", "is it ill?", "--weights", &weights, "--json"];
    let said: Said = command(bench, &[&asked, more].concat()).output().unwrap().into();
    let said = said.well();
    let calls = bench.read("record").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (serde_json::from_str(&said.out).unwrap(), Calls(calls))
}

/// Opens a row and tries it.
fn check(bench: &Bench, row: &str) -> Command {
    let weights = bench.path("weights").to_string_lossy().into_owned();
    command(bench, &["check", "plugins/python.so", "--model", row, "--weights", &weights])
}

/// What a stand-in was called with.
struct Calls(Vec<Value>);

impl Calls {
    /// The values of the only call of this name.
    fn of(&self, name: &str) -> &Value {
        let found: Vec<&Value> = self.0.iter().filter(|call| call["call"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {:#?}", self.0);
        found[0]
    }

    /// Fails unless the only call of this name had these values.
    fn had(&self, name: &str, values: Value) {
        for (key, value) in values.as_object().unwrap() {
            assert_eq!(&self.of(name)[key], value, "{name} {key}: {:#?}", self.0);
        }
    }

    /// Fails unless the picture arrived as it is, and was answered greedily.
    fn saw_the_picture_and_was_greedy(&self) {
        let pixels = (0..7).flat_map(|y| (0..9).map(move |x| [3, x * 20, y * 30]));
        let rgb: String = pixels.flatten().map(|byte: u8| format!("{byte:02x}")).collect();
        self.had("image", json!({ "size": [9, 7], "rgb": rgb }));
        self.had("language", json!({ "do_sample": false, "num_beams": 1, "repetition_penalty": 1.0 }));
        self.had("manual_seed", json!({ "seed": 0 }));
    }
}

/// The row with another option: `line` takes the place of the one with the same key, or is added.
fn with_option(bench: &Bench, row: &str, line: &str) {
    let rows = fs::read_to_string(dist().join("plugins/python.toml")).unwrap();
    let (before, after) = rows.split_once(&format!("id = \"{row}\"")).unwrap();
    let (head, options) = after.split_once("[model.options]\n").unwrap();
    let key = line.split_once('=').unwrap().0;
    let (mine, others) = options.split_once("\n\n").unwrap_or((options, ""));
    let kept: Vec<&str> = mine.lines().filter(|l| !l.starts_with(key)).chain([line]).collect();
    let mine = kept.join("\n");
    let changed = format!("{before}id = \"{row}\"{head}[model.options]\n{mine}\n\n{others}");
    bench.write("plugins/python.toml", changed);
}

#[test]
fn vila_answers_by_generate_content() {
    let Some(bench) = bench() else { return };
    for (row, template) in [("vila-1.5-authors", "llama_3"), ("vila-m3-authors", "llama_3"), ("nvila-authors", "auto")]
    {
        let (seen, calls) = infer(&bench, row, &["--device", "cuda:1", "--max-new-tokens", "9"]);
        calls.saw_the_picture_and_was_greedy();
        let end = if template == "llama_3" { "<|eot_id|>" } else { "" };
        let prompt = format!("[{template}] user: <image>is it ill?{end}assistant:");
        calls.had("tokenize", json!({ "prompt": prompt }));
        // An image is one token to the tokenizer and four to the language model.
        let length = prompt.len() - "<image>".len() + 4;
        calls.had("language", json!({ "max_new_tokens": 9, "length": length, "temperature": 1.0, "top_p": 1.0 }));
        calls.had("load", json!({ "path": bench.path("weights").to_string_lossy(), "devices": [1] }));
        calls.had("set_device", json!({ "number": 1 }));
        assert_eq!((&seen["text"], &seen["finish"]), (&json!("a finding"), &json!("stop")), "{seen:#}");
        assert_eq!((&seen["generated_ids"], &seen["prompt_ids"]), (&json!([7, 8, 2]), &json!([])), "{seen:#}");
        assert_eq!(seen["arrays"], json!({ "pixel_values": [1, 9 * 7 * 3], "first_logits": [1, 2] }));
    }
    let (seen, calls) = infer(&bench, "nvila-authors", &["--device", "cuda:0", "--max-new-tokens", "2"]);
    calls.had("language", json!({ "max_new_tokens": 2 }));
    assert_eq!((&seen["finish"], &seen["generated_ids"]), (&json!("length"), &json!([7, 8])), "{seen:#}");
}

#[test]
fn vila_answers_by_the_interface_of_its_first_release() {
    let Some(bench) = bench() else { return };
    with_option(&bench, "vila-1.5-authors", "api = \"builder\"");
    let (seen, calls) = infer(&bench, "vila-1.5-authors", &["--max-new-tokens", "9"]);
    let loaded = json!({ "path": bench.path("weights").to_string_lossy(), "name": "weights", "device": "cpu" });
    calls.had("load_pretrained_model", loaded);
    let prompt = "[llama_3] user: <image>\nis it ill?<|eot_id|>assistant:";
    calls.had("tokenize", json!({ "prompt": prompt, "image_token": -200 }));
    calls.had("process_images", json!({ "sizes": [[9, 7]], "config": "the model's configuration" }));
    calls.had("keywords", json!({ "keywords": ["<|eot_id|>"] }));
    let length = prompt.len() - "<image>".len() + 4;
    let greedy = json!({ "do_sample": false, "num_beams": 1, "max_new_tokens": 9, "length": length, "stopping": 1 });
    calls.had("language", greedy);
    assert_eq!((&seen["text"], &seen["finish"]), (&json!("a finding"), &json!("stop")), "{seen:#}");
    assert_eq!(seen["arrays"]["pixel_values"], json!([1, 9 * 7 * 3]));
    let checked = Said::from(check(&bench, "vila-1.5-authors").output().unwrap()).well();
    assert!(checked.out.contains("generate answers"), "{checked:#?}");
}

#[test]
fn vila_is_refused_where_its_package_cannot_run_it() {
    let Some(bench) = bench() else { return };
    let said = Said::from(check(&bench, "nvila-authors").output().unwrap());
    said.refused(3, "VILA's package computes on CUDA only, not on `cpu`: choose `--device cuda:0`");
    with_option(&bench, "nvila-authors", "conv_mode = \"llama3\"");
    let mut command = command(&bench, &["infer", "nvila-authors", "--prompt", "is it ill?", "--device", "cuda:0"]);
    let said = Said::from(command.arg("--weights").arg(bench.path("weights")).output().unwrap());
    said.refused(3, "option `conv_mode` is 'llama3'; expected one of auto, vicuna_v1, llama_3");
}

#[test]
fn xraygpt_answers_by_its_chat() {
    let Some(bench) = bench() else { return };
    Said::from(check(&bench, "xraygpt-authors").output().unwrap()).refused(3, "weights lacks `eva_vit_g.pth`");
    let files = ["Vicuna_Radiology_fp16", "blip2_pretrained_flant5xxl.pth", "eva_vit_g.pth", "xraygpt_pretrained1.pth"];
    for file in files {
        bench.write(&format!("weights/{file}"), format!("content of {file}"));
    }
    let (seen, calls) = infer(&bench, "xraygpt-authors", &["--max-new-tokens", "9"]);
    calls.saw_the_picture_and_was_greedy();
    let at = |file: &str| bench.path("weights").join(file).canonicalize().unwrap();
    let model = &calls.of("config")["model"];
    for (key, file) in [("llama_model", files[0]), ("q_former_model", files[1]), ("ckpt", files[3])] {
        assert_eq!(Path::new(model[key].as_str().unwrap()).canonicalize().unwrap(), at(file), "{model:#}");
    }
    assert_eq!((&model["arch"], &model["end_sym"]), (&json!("mini_gpt4"), &json!("###")));
    // The package finds the tower where it would download it to, and the folder's own tokenizer beside it.
    calls.had("from_config", json!({ "tower": "content of eva_vit_g.pth", "beside": files }));
    calls.had("processor", json!({ "image_size": 224 }));
    calls.had("prompt", json!({ "prompt": "###Patient: <Img><ImageHere></Img> is it ill?###Doctor:" }));
    let language = calls.of("language");
    assert_eq!((&language["max_new_tokens"], &language["length"]), (&json!(9), &json!(32 + 5)), "{language:#}");
    assert!(language.get("top_p").is_none() && language.get("temperature").is_none(), "{language:#}");
    assert_eq!((&seen["text"], &seen["finish"]), (&json!("a finding"), &json!("stop")), "{seen:#}");
    // The start token, which was not generated, is gone.
    assert_eq!(seen["generated_ids"], json!([7, 8, 2]));
    assert_eq!(seen["arrays"], json!({ "pixel_values": [1, 9 * 7 * 3], "first_logits": [1, 2] }));
    let checked = Said::from(check(&bench, "xraygpt-authors").output().unwrap()).well();
    assert!(checked.out.contains("generate answers"), "{checked:#?}");
}

#[test]
fn what_to_install_is_said_in_one_sentence() {
    let Some(bench) = bench() else { return };
    // An environment that has nothing, and one with a package of the same name.
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(bench.path("bare")).status().unwrap();
    assert!(made.success());
    let bare = bench.path("bare/bin/python");
    let refused = |row: &str, path: &str, sentence: &str| {
        let mut command = check(&bench, row);
        let said: Said =
            command.env("MEDVLM_PYTHON", &bare).env("PYTHONPATH", bench.path(path)).output().unwrap().into();
        said.refused(3, sentence);
    };
    refused("nvila-authors", "none", "-m pip install 'git+https://github.com/NVlabs/VILA'`");
    refused("xgen-mini-v1-authors", "none", "-m pip install torch transformers==4.41.1 open_clip_torch==2.24.0");
    refused("xraygpt-authors", "none", "clone https://github.com/mbzuai-oryx/XrayGPT, install what it requires");
    bench.write("llava/llava/__init__.py", "from llava import conversation\n");
    bench.write("llava/llava/conversation.py", "");
    for file in ["torch.py", "record.py"] {
        let stand_in = root().join("tests/integration/python_door/stand_ins").join(file);
        bench.write(&format!("llava/{file}"), fs::read(stand_in).unwrap());
    }
    refused("nvila-authors", "llava", "has no `load`, so it is another project's or an early VILA's: run `");
    bench.write("clone/xraygpt/models.py", "import omegaconf\n");
    refused("xraygpt-authors", "clone", "module `omegaconf` is missing");
}

#[test]
fn xgen_answers_by_the_code_in_its_checkpoint() {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    lay_out(&bench);
    fs::copy(dist().join("plugins/python.toml"), bench.path("plugins/python.toml")).unwrap();
    bench.dots(4);
    let (weights, image, prompt) = (bench.path("tiny"), bench.path("data/dots/3.png"), "is it ill?");
    let script = root().join("tests/integration/python_door/xgen/write.py");
    let made = Command::new(python).arg("-B").arg(script).args([&weights, &image]).arg(prompt).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let run = |arguments: &[&str]| -> Said {
        let weights = weights.to_string_lossy();
        let mut command = bench.command();
        // Code of a checkpoint is copied to this cache before it is imported.
        command.env("HF_MODULES_CACHE", bench.path("modules")).args(arguments).args(["--weights", &weights]);
        command.output().unwrap().into()
    };
    let image = image.to_string_lossy();
    let asked =
        ["infer", "xgen-mini-v1-authors", "--image", &image, "--prompt", prompt, "--json", "--max-new-tokens", "8"];
    let seen: Value = serde_json::from_str(&run(&asked).well().out).unwrap();
    let expected: Value = serde_json::from_str(&bench.read("tiny/expected.json")).unwrap();
    for key in ["generated_ids", "text", "finish"] {
        assert_eq!(seen[key], expected[key], "{key}: {seen:#}");
    }
    assert_eq!(seen["arrays"], json!({ "pixel_values": [2, 3, 14, 14], "first_logits": expected["logits"] }));
    run(&["check", "plugins/python.so", "--model", "xgen-mini-v1-authors"]).well();

    let code = format!("{}\nimport no_such_package\n", bench.read("tiny/modeling_tiny.py"));
    bench.write("tiny/modeling_tiny.py", code);
    let refused = run(&["check", "plugins/python.so", "--model", "xgen-mini-v1-authors"]);
    refused.refused(3, "no_such_package");
    assert!(refused.err.contains("install torch transformers==4.41.1"), "{refused:#?}");
}
