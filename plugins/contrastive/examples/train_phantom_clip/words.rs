//! The captions and class prompts that the text tower learns.

use phantom::{Dice, Finding, Modality};

/// Prompts of the classes "no finding" and "finding", as a user would write them for this modality.
pub fn standard_prompts(modality: Modality) -> [String; 2] {
    let noun = nouns(modality)[0];
    STATES[0].map(|state| state.replace("{}", noun))
}

/// Any wording of the two class prompts; one in four names no modality.
pub fn class_prompts(modality: Modality, dice: &mut Dice) -> [String; 2] {
    let noun = if dice.chance(0.25) { pick(GENERAL, dice) } else { pick(nouns(modality), dice) };
    let states = STATES.len() + own_states(modality).len();
    let chosen = dice.below(states);
    let state = STATES.iter().chain(own_states(modality)).nth(chosen).unwrap_or(&STATES[0]);
    state.map(|state| state.replace("{}", noun))
}

/// Any wording of what a picture shows.
pub fn caption(modality: Modality, finding: Option<&Finding>, dice: &mut Dice) -> String {
    let noun = pick(nouns(modality), dice);
    let Some(finding) = finding else {
        let states: Vec<&[&str; 2]> = STATES.iter().chain(own_states(modality)).collect();
        return states[dice.below(states.len())][0].replace("{}", noun);
    };
    let (kind, place) = (finding.kind, finding.place.name);
    let template = pick(CAPTIONS, dice);
    template.replace("{}", noun).replace("KIND", &kind.with_article()).replace("PLACE", place)
}

/// Everything that can be said, for the tokenizer to learn its words from.
pub fn corpus() -> Vec<String> {
    let mut texts: Vec<String> = EXTRA.iter().map(|&text| text.into()).collect();
    for modality in Modality::ALL {
        for noun in nouns(modality).iter().chain(GENERAL) {
            let states = STATES.iter().chain(own_states(modality)).flatten().chain(CAPTIONS);
            texts.extend(states.map(|state| state.replace("{}", noun)));
        }
        texts.extend(modality.kinds().iter().flat_map(|kind| [kind.name.into(), kind.plural.into()]));
        texts.extend(modality.places().iter().map(|place| place.name.into()));
    }
    texts
}

/// Nouns for any picture, and the only ones for modalities that the model never sees.
const GENERAL: &[&str] = &["medical image", "image", "picture"];

/// Wordings of "no finding" and "finding", the standard one first.
const STATES: [[&str; 2]; 5] = [
    ["a {} without any finding", "a {} with an abnormal finding"],
    ["a normal {}", "an abnormal {}"],
    ["a {} that shows no abnormality", "a {} that shows an abnormality"],
    ["this {} is normal", "this {} is abnormal"],
    ["a healthy {}", "a {} with a lesion"],
];

const CAPTIONS: &[&str] = &[
    "a {} with KIND in the PLACE",
    "a {} showing KIND in the PLACE",
    "{}: KIND in the PLACE",
    "{}: the PLACE shows KIND",
    "KIND in the PLACE of this {}",
];

/// Words that users may write and the phantoms' texts lack.
const EXTRA: &[&str] = &[
    "a photo of a skin lesion",
    "a patch of stained tissue under the microscope",
    "an x-ray image of the chest with signs of disease",
    "benign or malignant",
];

fn nouns(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Chest => &["chest film", "chest x-ray", "frontal chest film", "chest radiograph"],
        Modality::Fundus => &["fundus photograph", "retinal photograph", "fundus image", "photograph of the retina"],
        Modality::Skin | Modality::Tissue => GENERAL,
    }
}

fn own_states(modality: Modality) -> &'static [[&'static str; 2]] {
    match modality {
        Modality::Chest => &[
            ["a {} with clear lungs", "a {} with a nodule or an opacity"],
            ["a {} without nodules and opacities", "a {} with nodules or opacities"],
        ],
        Modality::Fundus => &[
            ["a {} of a healthy eye", "a {} with haemorrhages or exudates"],
            ["a {} without haemorrhages and exudates", "a {} with a haemorrhage or an exudate"],
        ],
        _ => &[],
    }
}

fn pick(choices: &[&'static str], dice: &mut Dice) -> &'static str {
    choices[dice.below(choices.len())]
}
