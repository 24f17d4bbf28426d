//! What a picture may show: its kind, where it lies, how large and how many.

use crate::canvas::Point;
use crate::dice::Dice;

/// An abnormality that one modality can show.
#[derive(Debug)]
pub struct Kind {
    /// Its name, as in "nodule".
    pub name: &'static str,
    /// The name of several.
    pub plural: &'static str,
    /// The most of them in one picture.
    pub most: usize,
}

impl Kind {
    /// Its name, as in "a nodule".
    pub fn with_article(&self) -> String {
        let article = if self.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {}", self.name)
    }
}

/// A named part of the picture.
#[derive(Debug)]
pub struct Place {
    /// Its name, as in "right upper zone".
    pub name: &'static str,
    /// Its middle.
    pub centre: Point,
    /// How far it reaches to each side of its middle.
    pub reach: Point,
}

impl Place {
    /// Any point of it.
    pub fn draw(&self, dice: &mut Dice) -> Point {
        [0, 1].map(|axis| self.centre[axis] + self.reach[axis] * dice.range(-1.0, 1.0))
    }
}

/// How large an abnormality is for its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Below the usual.
    Small,
    /// The usual.
    Medium,
    /// Above the usual.
    Large,
}

impl Size {
    /// Every size, in ascending order.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// A multiple of the kind's usual size.
    pub fn draw(self, dice: &mut Dice) -> f32 {
        match self {
            Self::Small => dice.range(0.55, 0.80),
            Self::Medium => dice.range(0.85, 1.15),
            Self::Large => dice.range(1.25, 1.60),
        }
    }
}

/// The abnormality that a picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// What it is.
    pub kind: &'static Kind,
    /// Where it lies.
    pub place: &'static Place,
    /// How large each is.
    pub size: Size,
    /// How many there are, at least one.
    pub count: usize,
}

impl Finding {
    /// Any finding of these kinds in these places.
    pub fn draw(kinds: &'static [Kind], places: &'static [Place], dice: &mut Dice) -> Self {
        let kind = &kinds[dice.below(kinds.len())];
        Self {
            kind,
            place: &places[dice.below(places.len())],
            size: Size::ALL[dice.below(Size::ALL.len())],
            count: 1 + dice.below(kind.most),
        }
    }

    /// Its name in the number that is seen.
    pub fn noun(&self) -> &'static str {
        if self.count == 1 { self.kind.name } else { self.kind.plural }
    }
}
