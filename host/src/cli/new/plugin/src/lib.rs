//! The plugin NAME: replace `Brightness` by your model.

use plugin_api::{
    Capability::ZeroShot, Classes, Description, Image, Matrix, Model, Open, Result, Rows, digest, export_plugin,
    register,
};

export_plugin!();
register!("NAME", "scores the first class by mean brightness", [ZeroShot], Brightness::open);

struct Brightness {
    gain: f32,
}

impl Brightness {
    /// `config` has the checkpoint directory (`weights`), `device`, `dtype` and the row's `[model.options]`.
    fn open(config: Open) -> Result<Self> {
        let gain = config.options.get("gain").and_then(|gain| gain.as_f64()).unwrap_or(1.0);
        Ok(Self { gain: gain as f32 })
    }
}

impl Model for Brightness {
    fn describe(&self) -> Description {
        Description { capabilities: vec![ZeroShot], ..Description::default() }
    }

    /// One logit for each image and class. Batches hold any number of images, of any size.
    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        let logits = |image: &Image<'_>| {
            let sum: u64 = image.rgb.iter().map(|value| u64::from(*value)).sum();
            let brightness = self.gain * (sum as f32 / image.rgb.len() as f32 / 255.0 - 0.25);
            (0..classes.prompts.len()).map(|class| if class == 0 { brightness } else { -brightness }).collect()
        };
        let rows: Vec<Vec<f32>> = images.iter().map(logits).collect();
        Ok(Rows { matrix: Matrix::from_rows(&rows), inputs: images.iter().map(|image| digest(image.rgb)).collect() })
    }
}
