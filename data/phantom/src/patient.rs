//! Patients: whose pictures they are, and which split they belong to.

use std::ops::Range;

use crate::dice::Dice;
use crate::finding::{Finding, Kind, Place};
use crate::phantom::{Phantom, stream};
use crate::{chest, fundus, skin, tissue};

/// A kind of medical image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// A frontal chest film.
    Chest,
    /// A fundus photograph.
    Fundus,
    /// A close-up of skin.
    Skin,
    /// A patch of stained tissue.
    Tissue,
}

impl Modality {
    /// Every modality.
    pub const ALL: [Self; 4] = [Self::Chest, Self::Fundus, Self::Skin, Self::Tissue];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Chest => "chest",
            Self::Fundus => "fundus",
            Self::Skin => "skin",
            Self::Tissue => "tissue",
        }
    }

    /// What it may show.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Chest => &chest::KINDS,
            Self::Fundus => &fundus::KINDS,
            Self::Skin => &skin::KINDS,
            Self::Tissue => &tissue::KINDS,
        }
    }

    /// Where it may show it.
    pub fn places(self) -> &'static [Place] {
        match self {
            Self::Chest => &chest::PLACES,
            Self::Fundus => &fundus::PLACES,
            Self::Skin => &skin::PLACES,
            Self::Tissue => &tissue::PLACES,
        }
    }
}

/// A part of the bundled data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For fitting.
    Train,
    /// For choosing.
    Validation,
    /// For measuring.
    Test,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The numbers of its patients, the same in each modality.
    pub fn patients(self) -> Range<u32> {
        match self {
            Self::Train => 0..40,
            Self::Validation => 1000..1028,
            Self::Test => 2000..2070,
        }
    }
}

/// Patients from this number on belong to no split: draw as many as you like to train on.
pub const FIRST_FREE_PATIENT: u32 = 10_000;

/// Sex of a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    /// A woman.
    Female,
    /// A man.
    Male,
}

impl Sex {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Female => "female",
            Self::Male => "male",
        }
    }
}

/// A person with one to four pictures of one modality.
#[derive(Clone, Copy, Debug)]
pub struct Patient {
    /// The modality of all their pictures.
    pub modality: Modality,
    /// Their number within the modality; the same number is always the same patient.
    pub number: u32,
    /// Their sex.
    pub sex: Sex,
    /// Their age in years.
    pub age: u32,
}

impl Patient {
    /// The patient of this number.
    pub fn new(modality: Modality, number: u32) -> Self {
        let mut dice = Dice::new(stream(modality, number, 0, b'p'));
        let sex = if dice.chance(0.5) { Sex::Female } else { Sex::Male };
        Self { modality, number, sex, age: (54.0 + 17.0 * dice.bell()).clamp(18.0, 92.0) as u32 }
    }

    /// Their name, as in "chest-0042".
    pub fn name(&self) -> String {
        format!("{}-{:04}", self.modality.word(), self.number)
    }

    /// Their age group: "under 40", "40 to 64" or "65 and over".
    pub fn age_group(&self) -> &'static str {
        match self.age {
            ..40 => "under 40",
            40..65 => "40 to 64",
            _ => "65 and over",
        }
    }

    /// Their pictures. Most pictures of an ill patient show a finding and few of a healthy one do; the old are ill
    /// more often.
    pub fn phantoms(&self) -> Vec<Phantom> {
        let mut dice = Dice::new(stream(self.modality, self.number, 0, b'f'));
        let ill = dice.chance(0.40 + 0.003 * self.age as f32);
        let rate = if ill { 0.82 } else { 0.08 };
        (0..1 + dice.below(4))
            .map(|index| {
                let shown = dice.chance(rate);
                let finding = Finding::draw(self.modality.kinds(), self.modality.places(), &mut dice);
                Phantom { patient: *self, index, finding: shown.then_some(finding) }
            })
            .collect()
    }
}
