//! A scorer that imports `judge`, for the test that it is refused without a grant.

#![allow(missing_docs, unsafe_code, reason = "wit-bindgen generates the glue")]

use bindings::{
    exports::medvlm::scorer::score_api::{Error, Guest, Metadata, Sample, SampleScore},
    medvlm::scorer::judge::{self, Message, Request},
};

mod bindings {
    wit_bindgen::generate!({ path: "../../plugin-api/wit", world: "judge-scorer" });
}

/// Asks the judge for every sample.
pub struct WantsJudge;

impl Guest for WantsJudge {
    fn describe() -> Metadata {
        Metadata {
            id: "wants-judge".into(),
            version: "0.1.0".into(),
            summary: "asks a judge".into(),
            tasks: vec!["vqa".into()],
            values: Vec::new(),
            metrics: Vec::new(),
            needs: vec!["judge".into()],
            config_schema: "{}".into(),
        }
    }

    fn configure(_: String) -> Result<(), Error> {
        Ok(())
    }

    fn score(samples: Vec<Sample>) -> Result<Vec<SampleScore>, Error> {
        let request = |sample: &Sample| Request {
            messages: vec![Message { role: "user".into(), content: sample.prediction.clone() }],
            temperature: 0.0,
            max_tokens: 1,
            seed: None,
            response_schema: None,
        };
        let replies = judge::complete_many(&samples.iter().map(request).collect::<Vec<_>>());
        let score = |(sample, reply): (&Sample, Result<judge::Response, _>)| SampleScore {
            index: sample.index,
            values: Vec::new(),
            statistics: Vec::new(),
            note: reply.ok().map(|response| response.text),
        };
        Ok(samples.iter().zip(replies).map(score).collect())
    }

    fn aggregate(_: Vec<SampleScore>, resamples: Vec<Vec<u32>>) -> Result<Vec<Vec<Option<f64>>>, Error> {
        Ok(vec![Vec::new(); resamples.len()])
    }
}

#[cfg(target_family = "wasm")]
bindings::export!(WantsJudge with_types_in bindings);
