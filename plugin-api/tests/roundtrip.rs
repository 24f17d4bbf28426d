//! Every type across the boundary and back, in one process: what `export_plugin!` makes is called as a host calls it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Mutex;

use abi_stable::std_types::{RErr, ROk};
use plugin_api::{
    Array, Blob, Capability, Classes, Data, Decoding, Description, Error, ErrorKind, Events, Generation, Image,
    Inspect, Inspection, Matrix, Model, Open, Request, Result, Rows, Sink, Train, Trained, TrainingSample,
    abi::{self, ModelBox},
    client::{self, Door, NoEvents},
    export,
    message::{Generate, PluginInfo, Progress, Pull, Texts, ZeroShot, event},
    register,
};

register!("probe", "answers with what it was given", [ZeroShot, Generate], Probe::open);

struct Probe {
    classes_encoded: Mutex<u32>,
}

impl Probe {
    fn open(config: Open) -> Result<Self> {
        match config.options.get("refuse").and_then(|r| r.as_str()) {
            Some("error") => Err(Error::config("refused, as asked")),
            Some("panic") => panic!("refused with a panic"),
            _ => Ok(Self { classes_encoded: Mutex::new(0) }),
        }
    }
}

impl Model for Probe {
    fn describe(&self) -> Description {
        Description {
            capabilities: vec![Capability::ZeroShot],
            parameters: 7,
            feature_dim: 2,
            ..Description::default()
        }
    }

    fn encode_classes(&self, prompts: &[Vec<String>]) -> Result<Matrix> {
        let mut count = self.classes_encoded.lock().unwrap();
        *count += 1;
        Ok(Matrix { columns: 1, data: vec![*count as f32; prompts.len()] })
    }

    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        let rows: Vec<Vec<f32>> = images
            .iter()
            .map(|i| vec![i.width as f32, i.height as f32, f32::from(i.rgb[0]), classes.encoded.data[0]])
            .collect();
        Ok(Rows { matrix: Matrix::from_rows(&rows), inputs: vec!["digest".into(); images.len()] })
    }

    fn features(&self, _: &[Image<'_>]) -> Result<Rows> {
        Ok(Rows { matrix: Matrix { columns: 2, data: vec![1.0, 2.0] }, inputs: Vec::new() })
    }

    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        for request in requests.iter().rev() {
            if request.prompt == "panic" {
                panic!("on request {}", request.index);
            }
            sink.log(format!("{} images, seed {}", images.len(), decoding.seed))?;
            sink.finished(&Generation {
                index: request.index,
                text: request.prompt.to_uppercase(),
                ..Default::default()
            })?;
        }
        Ok(())
    }

    fn choose(&self, requests: &[Request], _: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
        Ok(requests.iter().map(|r| r.options.iter().map(|o| -(o.len() as f32)).collect()).collect())
    }

    fn embed_text(&self, texts: &[String]) -> Result<Vec<Matrix>> {
        Ok(texts.iter().map(|t| Matrix { columns: 1, data: t.bytes().map(f32::from).collect() }).collect())
    }

    fn train(&self, job: &Train, sink: &Sink<'_>) -> Result<Trained> {
        let mut parameters = 0;
        for index in 0..job.samples {
            let (sample, images) = sink.sample(index)?;
            parameters += u64::from(sample.labels[0]) + images[0].shape.iter().product::<u64>();
            sink.progress(&Progress { done: index.into(), total: job.samples.into(), loss: None })?;
        }
        Ok(Trained { files: vec![job.out.join("adapter_model.safetensors")], parameters })
    }

    fn inspect(&self, request: &Inspect, _: &[Image<'_>]) -> Result<Inspection> {
        let arrays = vec![
            ("ids".to_string(), Array { shape: vec![2], data: Data::I64(vec![-1, i64::MAX]) }),
            ("pixels".to_string(), Array { shape: vec![1, 3], data: Data::U8(vec![1, 2, 3]) }),
            ("values".to_string(), Array { shape: vec![1, 1, 1, 2], data: Data::F32(vec![0.5, f32::MIN]) }),
        ];
        let generation = request.prompt.clone().map(|text| Generation { text, ..Default::default() });
        Ok(Inspection { arrays, generation })
    }
}

fn open(options: &str) -> Result<ModelBox> {
    match export::open("probe".into(), format!("{{\"options\": {options}}}").as_str().into()) {
        ROk(model) => Ok(model),
        RErr(e) => Err(e.into()),
    }
}

fn images(pixels: &[u8]) -> [Image<'_>; 2] {
    [Image { width: 2, height: 1, rgb: &pixels[..6] }, Image { width: 1, height: 2, rgb: &pixels[6..] }]
}

const PIXELS: [u8; 12] = [9, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0];

#[test]
fn a_plugin_lists_its_architectures() {
    let info: PluginInfo = serde_json::from_str(&export::info("tests", "1.2.3")).unwrap();
    assert_eq!((info.name.as_str(), info.abi.as_str()), ("tests", abi::ABI_VERSION));
    assert_eq!(info.architectures[0].id, "probe");
    assert_eq!(info.architectures[0].capabilities, [Capability::ZeroShot, Capability::Generate]);
}

#[test]
fn images_and_logits_keep_shape_and_order_and_classes_are_encoded_once() {
    let mut door = open("{}").unwrap();
    let classes = ZeroShot { classes: vec![vec!["a".into()], vec!["b".into()]] };
    let rows = client::zero_shot(&mut door, &images(&PIXELS), &classes).unwrap();
    assert_eq!(rows.matrix.row(0), [2.0, 1.0, 9.0, 1.0]);
    assert_eq!(rows.matrix.row(1), [1.0, 2.0, 8.0, 1.0]);
    assert_eq!(rows.inputs, ["digest", "digest"]);
    let again = client::zero_shot(&mut door, &images(&PIXELS), &classes).unwrap();
    assert_eq!(again.matrix.row(0)[3], 1.0, "the same classes are not encoded again");
    let other = ZeroShot { classes: vec![vec!["c".into()]] };
    assert_eq!(client::zero_shot(&mut door, &images(&PIXELS), &other).unwrap().matrix.row(0)[3], 2.0);
}

#[test]
fn too_few_rows_are_an_error_of_the_model() {
    let error = client::features(&mut open("{}").unwrap(), &images(&PIXELS)).unwrap_err();
    assert_eq!(error.message, "the model returned 1 rows for 2 images");
}

/// Collects finished answers; stops the plugin after so many.
struct Collect {
    texts: Mutex<Vec<String>>,
    stop_after: usize,
}

impl Events for Collect {
    fn event(&self, op: &str, header: &str, blobs: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        match op {
            event::FINISHED => {
                let mut texts = self.texts.lock().unwrap();
                texts.push(serde_json::from_str::<Generation>(header)?.text);
                if texts.len() >= self.stop_after {
                    return Err(Error::new(ErrorKind::Cancelled, "enough"));
                }
                Ok(("null".into(), Vec::new()))
            }
            event::SAMPLE => {
                let index = serde_json::from_str::<Pull>(header)?.index;
                let sample = TrainingSample { labels: vec![index], ..Default::default() };
                let image = Array { shape: vec![1, 2, 3], data: Data::U8(vec![0; 6]) };
                Ok((serde_json::to_string(&sample)?, vec![image]))
            }
            _ => NoEvents.event(op, header, blobs),
        }
    }
}

fn job(prompts: &[&str]) -> Generate {
    let request = |(index, prompt): (usize, &&str)| Request {
        index: index as u32,
        prompt: prompt.to_string(),
        options: vec!["a".into(), "bb".into()],
        ..Default::default()
    };
    Generate { requests: prompts.iter().enumerate().map(request).collect(), decoding: Decoding::default() }
}

#[test]
fn answers_arrive_as_they_finish_and_the_host_can_stop() {
    let all = Collect { texts: Mutex::default(), stop_after: 9 };
    client::generate(&mut open("{}").unwrap(), &job(&["one", "two"]), &[], &all).unwrap();
    assert_eq!(*all.texts.lock().unwrap(), ["TWO", "ONE"]);
    let first = Collect { texts: Mutex::default(), stop_after: 1 };
    let error = client::generate(&mut open("{}").unwrap(), &job(&["one", "two"]), &[], &first).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Cancelled, "enough"));
    assert_eq!(*first.texts.lock().unwrap(), ["TWO"]);
}

#[test]
fn a_panic_is_an_error_with_its_place_and_the_model_lives_on() {
    let mut door = open("{}").unwrap();
    let error = client::generate(&mut door, &job(&["panic"]), &[], &NoEvents).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Panic, "the plugin panicked: on request 0"));
    assert!(error.detail.contains("roundtrip.rs"), "{}", error.detail);
    assert_eq!(client::describe(&mut door).unwrap().parameters, 7);
}

#[test]
fn a_model_that_does_not_open_says_why() {
    assert_eq!(open("{\"refuse\": \"error\"}").err().unwrap().message, "refused, as asked");
    assert_eq!(open("{\"refuse\": \"panic\"}").err().unwrap().kind, ErrorKind::Panic);
    let RErr(unknown) = export::open("other".into(), "{}".into()) else { panic!("opened") };
    assert_eq!(unknown.message.as_str(), "this plugin has no architecture `other`");
}

#[test]
fn options_texts_arrays_and_training_samples_cross_whole() {
    let mut door = open("{}").unwrap();
    assert_eq!(client::choose(&mut door, &job(&["q"]), &[]).unwrap(), [[-1.0, -2.0]]);
    let texts = Texts { texts: vec!["ab".into(), String::new()] };
    let embedded = client::embed_text(&mut door, &texts).unwrap();
    assert_eq!((embedded[0].data.as_slice(), embedded[1].rows()), (&[97.0, 98.0][..], 0));
    let seen = client::inspect(&mut door, &Inspect { prompt: Some("p".into()), ..Default::default() }, &[]).unwrap();
    assert_eq!(seen.arrays[0].1.data, Data::I64(vec![-1, i64::MAX]));
    assert_eq!(seen.arrays[2].1, Array { shape: vec![1, 1, 1, 2], data: Data::F32(vec![0.5, f32::MIN]) });
    assert_eq!(seen.generation.unwrap().text, "p");
    let samples = Collect { texts: Mutex::default(), stop_after: 9 };
    let trained =
        client::train(&mut door, &Train { samples: 3, out: "x".into(), ..Default::default() }, &samples).unwrap();
    assert_eq!((trained.parameters, trained.files.len()), (3 + 3 * 6, 1));
}

#[test]
fn a_message_of_a_newer_contract_is_understood() {
    let newer = r#"{"capabilities": ["zero-shot", "levitate"], "parameters": 1, "colour": "blue"}"#;
    let description: Description = serde_json::from_str(newer).unwrap();
    assert_eq!(description.capabilities, [Capability::ZeroShot, Capability::Unknown]);
    let error = Door::call(&mut open("{}").unwrap(), "levitate", "{}", &[], &NoEvents).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}
