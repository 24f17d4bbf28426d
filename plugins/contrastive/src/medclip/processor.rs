//! Pixel values of MedCLIP; reference `medclip.MedCLIPFeatureExtractor`, 0.0.3.

use blocks::{
    Error, Result,
    image::{Filter, Pixels, Rgb, Window, resize},
};

use bridge::Preprocess;

/// Mean and standard deviation of the grey values, from 0 to 1, of the images that MedCLIP was trained on.
const MEAN: f64 = 0.5862785803043838;
const STD: f64 = 0.27950088968644304;
/// Standard deviations of OpenAI's CLIP.
const OPENAI_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// Whose preprocessing is followed. Either pads the image with black to a square, centred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// The authors' of MedCLIP: grey, bicubic, less the mean, by the standard deviation.
    MedClip,
    /// MedVLMBench's: colours, bilinear, times the mean, by the standard deviations of OpenAI's CLIP.
    MedVlmBench,
}

/// Turns RGB images into pixel values.
pub struct Processor {
    recipe: Recipe,
    side: usize,
    /// Pixel value of each byte of each channel.
    table: Box<[[f32; 256]; 3]>,
}

impl Processor {
    /// For images of `side` x `side` pixels.
    pub fn new(recipe: Recipe, side: usize) -> Self {
        let value = |channel: usize, byte: usize| match recipe {
            Recipe::MedClip => (byte as f32 * (1.0 / 255.0) as f32 - MEAN as f32) / STD as f32,
            Recipe::MedVlmBench => (f64::from(byte as f32 / 255.0) * MEAN) as f32 / OPENAI_STD[channel] as f32,
        };
        let table = std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte)));
        Self { recipe, side, table: Box::new(table) }
    }

    /// The image in the middle of a black square that is no smaller than the model's input.
    fn square(&self, width: usize, height: usize, rgb: &[u8]) -> Rgb<Vec<u8>> {
        let side = self.side.max(width).max(height);
        let (left, top) = ((side - width) / 2, (side - height) / 2);
        let mut data = vec![0; side * side * 3];
        for (row, source) in rgb.chunks_exact(width * 3).enumerate() {
            let target = &mut data[((top + row) * side + left) * 3..][..width * 3];
            match self.recipe {
                Recipe::MedVlmBench => target.copy_from_slice(source),
                Recipe::MedClip => {
                    for (to, from) in target.chunks_exact_mut(3).zip(source.chunks_exact(3)) {
                        to.fill(grey(from));
                    }
                }
            }
        }
        Rgb { width: side, height: side, data }
    }
}

impl Preprocess for Processor {
    fn process(&self, width: usize, height: usize, rgb: &[u8]) -> Result<Pixels> {
        if rgb.is_empty() || rgb.len() != width * height * 3 {
            let bytes = rgb.len();
            return Err(Error::Setting(format!("{bytes} bytes do not make an RGB image of {width}x{height} pixels")));
        }
        let square = self.square(width, height, rgb);
        let filter = match self.recipe {
            Recipe::MedClip => Filter::Bicubic,
            Recipe::MedVlmBench => Filter::Bilinear,
        };
        let (side, whole) = (self.side, Window { start: 0, length: self.side });
        let source = Rgb { width: square.width, height: square.height, data: &square.data[..] };
        let resized = resize(source, (side, side), filter, whole, whole);
        let channel = |(channel, table): (usize, &[f32; 256])| {
            resized.data.iter().skip(channel).step_by(3).map(|&byte| table[usize::from(byte)]).collect::<Vec<_>>()
        };
        Ok(Pixels { height: side, width: side, data: self.table.iter().enumerate().flat_map(channel).collect() })
    }
}

/// Luma of an RGB pixel, as Pillow's `convert("L")`: weights of ITU-R 601-2 in 16-bit fixed point.
fn grey(rgb: &[u8]) -> u8 {
    let sum: u32 = rgb.iter().zip([19595, 38470, 7471]).map(|(&value, weight)| u32::from(value) * weight).sum();
    ((sum + 0x8000) >> 16) as u8
}
