//! What is asked and reported about a picture.

use crate::dice::Dice;
use crate::finding::Finding;
use crate::patient::{Modality, Sex};
use crate::phantom::Phantom;

/// The texts that go with one picture.
#[derive(Clone, Debug)]
pub struct Words {
    /// A question to be answered by yes or no.
    pub closed_question: String,
    /// Whether its answer is yes.
    pub closed_answer: bool,
    /// A question to be answered by a word or a few. It does not tell whether there is a finding.
    pub open_question: String,
    /// Its answer.
    pub open_answer: String,
    /// A report of one sentence.
    pub report: String,
}

/// Draws the texts for a picture.
pub fn words(phantom: &Phantom, dice: &mut Dice) -> Words {
    let modality = phantom.patient.modality;
    let (closed_question, closed_answer) = closed(modality, phantom.finding.as_ref(), dice);
    let (open_question, open_answer) = open(modality, phantom.finding.as_ref(), dice);
    Words { closed_question, closed_answer, open_question, open_answer, report: report(phantom, dice) }
}

fn closed(modality: Modality, finding: Option<&Finding>, dice: &mut Dice) -> (String, bool) {
    let picture = picture(modality);
    let kinds = modality.kinds();
    let kind = finding.map_or(&kinds[dice.below(kinds.len())], |finding| finding.kind);
    match dice.below(4) {
        0 => (format!("Is this {picture} normal?"), finding.is_none()),
        1 => (format!("Does this {picture} show {}?", kind.with_article()), finding.is_some()),
        2 => {
            let asked = &kinds[dice.below(kinds.len())];
            let seen = finding.is_some_and(|finding| finding.kind.name == asked.name);
            (format!("Is there {} in this {picture}?", asked.with_article()), seen)
        }
        _ => {
            let places = modality.places();
            let asked = match finding {
                Some(finding) if dice.chance(0.6) => finding.place,
                _ => &places[dice.below(places.len())],
            };
            let seen = finding.is_some_and(|finding| finding.place.name == asked.name);
            (format!("Is there {} in the {}?", kind.with_article(), asked.name), seen)
        }
    }
}

fn open(modality: Modality, finding: Option<&Finding>, dice: &mut Dice) -> (String, String) {
    let picture = picture(modality);
    let answer = |tell: fn(&Finding) -> String, otherwise: &str| finding.map_or(otherwise.into(), tell);
    match dice.below(4) {
        0 => (
            format!("What abnormality does this {picture} show, if any?"),
            answer(|finding| finding.kind.name.into(), "none"),
        ),
        1 => (
            format!("Where in this {picture} is the abnormality, if there is one?"),
            answer(|finding| finding.place.name.into(), "nowhere"),
        ),
        2 => (
            format!("How large is the abnormality in this {picture}, if there is one?"),
            answer(|finding| finding.size.word().into(), "there is none"),
        ),
        _ => (
            format!("How many abnormalities does this {picture} show?"),
            answer(|finding| finding.count.to_string(), "0"),
        ),
    }
}

fn report(phantom: &Phantom, dice: &mut Dice) -> String {
    let patient = &phantom.patient;
    let person = match patient.sex {
        Sex::Female => "woman",
        Sex::Male => "man",
    };
    let article = if patient.age == 18 || (80..90).contains(&patient.age) { "an" } else { "a" };
    let impression = match &phantom.finding {
        Some(finding) => describe(finding, dice),
        None => normal(patient.modality)[dice.below(2)].into(),
    };
    format!("{} of {article} {}-year-old {person}: {impression}.", title(patient.modality), patient.age)
}

/// The finding in one phrase.
fn describe(finding: &Finding, dice: &mut Dice) -> String {
    const NUMBERS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
    let number = if finding.count == 1 { "a" } else { NUMBERS[finding.count - 1] };
    let (size, noun, place) = (finding.size.word(), finding.noun(), finding.place.name);
    if dice.chance(0.5) {
        format!("{number} {size} {noun} in the {place}")
    } else {
        format!("the {place} shows {number} {size} {noun}")
    }
}

fn picture(modality: Modality) -> &'static str {
    match modality {
        Modality::Chest => "chest film",
        Modality::Fundus => "fundus photograph",
        Modality::Skin => "skin picture",
        Modality::Tissue => "tissue patch",
    }
}

fn title(modality: Modality) -> &'static str {
    match modality {
        Modality::Chest => "Frontal chest film",
        Modality::Fundus => "Fundus photograph",
        Modality::Skin => "Close-up of the skin",
        Modality::Tissue => "Stained tissue",
    }
}

fn normal(modality: Modality) -> [&'static str; 2] {
    match modality {
        Modality::Chest => ["clear lungs", "no focal lesion of the lungs"],
        Modality::Fundus => ["normal retina", "no haemorrhages and no exudates"],
        Modality::Skin => ["regular naevus", "evenly pigmented naevus with a smooth outline"],
        Modality::Tissue => ["regular glands", "no atypical nuclei"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::{FIRST_FREE_PATIENT, Patient};

    fn many() -> impl Iterator<Item = (Phantom, Words)> {
        Modality::ALL
            .into_iter()
            .flat_map(|modality| (FIRST_FREE_PATIENT..).take(300).map(move |number| Patient::new(modality, number)))
            .flat_map(|patient| patient.phantoms())
            .map(|phantom| (phantom, phantom.words()))
    }

    #[test]
    fn answers_follow_from_the_finding() {
        for (phantom, words) in many() {
            let question = &words.closed_question;
            let finding = phantom.finding;
            let expected = if question.ends_with("normal?") {
                finding.is_none()
            } else {
                let place = phantom.patient.modality.places().iter().find(|place| question.contains(place.name));
                finding.is_some_and(|finding| {
                    question.contains(finding.kind.name) && place.is_none_or(|place| place.name == finding.place.name)
                })
            };
            assert_eq!(words.closed_answer, expected, "{question} {finding:?}");
            let none = ["none", "nowhere", "there is none", "0"].contains(&words.open_answer.as_str());
            assert_eq!(none, finding.is_none(), "{} {}", words.open_question, words.open_answer);
            if let Some(finding) = finding {
                assert!(words.report.contains(finding.noun()) && words.report.contains(finding.place.name));
            }
        }
    }

    #[test]
    fn an_open_question_does_not_give_its_answer_away() {
        let asked = |ill: bool| {
            let mut questions: Vec<String> = many()
                .filter(|(phantom, _)| phantom.finding.is_some() == ill)
                .map(|(_, words)| words.open_question)
                .collect();
            questions.sort();
            questions.dedup();
            questions
        };
        assert_eq!(asked(true), asked(false));
    }

    #[test]
    fn yes_and_no_are_both_common() {
        let answers: Vec<bool> = many().map(|(_, words)| words.closed_answer).collect();
        let yes = answers.iter().filter(|yes| **yes).count() as f32 / answers.len() as f32;
        assert!((0.3..0.7).contains(&yes), "{yes}");
    }
}
