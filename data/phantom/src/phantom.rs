//! Phantoms: single pictures with their truth.

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, RgbImage};

use crate::dice::Dice;
use crate::finding::Finding;
use crate::patient::{Modality, Patient, Sex};
use crate::text::{self, Words};
use crate::{chest, fundus, skin, tissue};

/// One synthetic picture: everything needed to draw it and to tell about it.
#[derive(Clone, Copy, Debug)]
pub struct Phantom {
    /// Whose picture it is.
    pub patient: Patient,
    /// Its place among the patient's pictures, from 0.
    pub index: usize,
    /// What it shows, if it shows anything abnormal.
    pub finding: Option<Finding>,
}

impl Phantom {
    /// Its name, as in "chest-0042-1".
    pub fn name(&self) -> String {
        format!("{}-{}", self.patient.name(), self.index)
    }

    /// Draws it: a square of [`SIDE`](crate::SIDE) pixels.
    pub fn render(&self) -> RgbImage {
        let mut scene = Scene {
            sex: self.patient.sex,
            finding: self.finding,
            body: self.dice(0, b'b'),
            view: self.dice(self.index, b'v'),
            lesion: self.dice(self.index, b'l'),
        };
        let draw = match self.patient.modality {
            Modality::Chest => chest::render,
            Modality::Fundus => fundus::render,
            Modality::Skin => skin::render,
            Modality::Tissue => tissue::render,
        };
        draw(&mut scene).finish()
    }

    /// Draws it as the JPEG of the bundled data set: in grey where it holds no colour.
    ///
    /// # Errors
    /// Where the picture cannot be encoded.
    pub fn jpeg(&self) -> Result<Vec<u8>> {
        let picture = self.render();
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        if picture.pixels().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]) {
            let grey = picture.pixels().map(|pixel| pixel[0]).collect();
            let grey = GrayImage::from_raw(picture.width(), picture.height(), grey);
            grey.context("a picture has as many values as pixels")?.write_with_encoder(encoder)?;
        } else {
            picture.write_with_encoder(encoder)?;
        }
        Ok(bytes)
    }

    /// Its twin: the same patient in the same pose and light, without the finding.
    pub fn without_finding(self) -> Self {
        Self { finding: None, ..self }
    }

    /// The questions about it, their answers, and its report.
    pub fn words(&self) -> Words {
        self.words_by(&mut self.dice(self.index, b'w'))
    }

    /// Other questions about it, and its report in other words, as these dice fall.
    pub fn words_by(&self, dice: &mut Dice) -> Words {
        text::words(self, dice)
    }

    fn dice(&self, index: usize, purpose: u8) -> Dice {
        Dice::new(stream(self.patient.modality, self.patient.number, index, purpose))
    }
}

const JPEG_QUALITY: u8 = 85;

/// What a modality draws from. Draws from `body` come out the same for all pictures of a patient.
pub struct Scene {
    /// Sex of the patient.
    pub sex: Sex,
    /// What the picture shows.
    pub finding: Option<Finding>,
    /// Dice of the patient.
    pub body: Dice,
    /// Dice of the picture.
    pub view: Dice,
    /// Dice of what is abnormal in it, apart so that its absence changes nothing else.
    pub lesion: Dice,
}

/// The random stream of one purpose for one picture.
pub fn stream(modality: Modality, number: u32, index: usize, purpose: u8) -> u64 {
    (modality as u64) << 56 | u64::from(number) << 24 | (index as u64) << 8 | u64::from(purpose)
}
