//! What the model is asked, and what it is to answer.

use phantom::{Dice, FIRST_FREE_PATIENT, Patient, Phantom, Words};

use crate::LEARNT;

/// The template `yes-no` of the manifests.
const YES_NO: &str = "Answer the following question about the image with yes or no. ";
/// How the manifests ask for a report.
const REPORT: &str = "Can you provide a medical report for this image?";

/// A question and its answer.
pub struct Exchange {
    /// As it is asked.
    pub question: String,
    /// As it is to be answered.
    pub answer: String,
    /// Whether the answer is yes or no.
    pub closed: bool,
}

/// Questions on a picture, always as many, each kind in its place; `asked_for` puts what the answer shall be before one.
pub fn draw(phantom: &Phantom, asked_for: bool, dice: &mut Dice) -> [Exchange; 5] {
    let [first, second, third] = [0; 3].map(|_| phantom.words_by(dice));
    let report = Exchange { question: REPORT.into(), answer: first.report.clone(), closed: false };
    let before = if asked_for { YES_NO } else { "" };
    let drawn = [closed(&first, ""), closed(&second, ""), closed(&third, before), open(&first), report];
    drawn.map(|exchange| if dice.chance(REWORDED) { reworded(exchange) } else { exchange })
}

/// The one closed and the one open question of the bundled data set.
pub fn bundled(phantom: &Phantom) -> [Exchange; 2] {
    let words = phantom.words();
    [closed(&words, ""), open(&words)]
}

/// Enough of what can be said for the tokenizer to learn its words from.
pub fn corpus() -> Vec<String> {
    let mut dice = Dice::new(0);
    let patients = LEARNT.iter().flat_map(|&of| (FIRST_FREE_PATIENT..).take(400).map(move |n| Patient::new(of, n)));
    let exchanges = patients.flat_map(|patient| patient.phantoms()).flat_map(|phantom| draw(&phantom, true, &mut dice));
    exchanges.map(|exchange| crate::files::dialogue(&exchange.question) + " " + &exchange.answer).collect()
}

/// How often a question is worded in another way than the data set's.
const REWORDED: f32 = 0.15;

/// Beginnings of questions, and others that ask the same.
const REWORDINGS: [(&str, &str); 8] = [
    ("Is there", "Do you see"),
    ("Is this", "Would you call this"),
    ("Does this", "Does the"),
    ("What abnormality does this", "Which abnormality does the"),
    ("Where in this", "In which part of this"),
    ("How large is the", "What is the size of the"),
    ("How many abnormalities does this", "What number of abnormalities does the"),
    ("Can you provide a medical report for this image?", "Describe this image."),
];

fn reworded(exchange: Exchange) -> Exchange {
    let (from, to) = REWORDINGS.iter().find(|(from, _)| exchange.question.contains(from)).unwrap_or(&("", ""));
    Exchange { question: exchange.question.replacen(from, to, 1), ..exchange }
}

fn closed(words: &Words, before: &str) -> Exchange {
    let answer = if words.closed_answer { "yes" } else { "no" };
    Exchange { question: format!("{before}{}", words.closed_question), answer: answer.into(), closed: true }
}

fn open(words: &Words) -> Exchange {
    Exchange { question: words.open_question.clone(), answer: words.open_answer.clone(), closed: false }
}
