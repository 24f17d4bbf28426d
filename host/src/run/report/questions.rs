//! The three research questions of MedVLMBench (arXiv 2506.17337): whether the best generalist beats the best specialist.

use crate::{
    config::Suite,
    ids::{CellId, Usage},
    report::{Choice, QuestionReport},
    stats,
};

/// A metric of one cell: on all samples, then on draws of them, NaN where undefined.
pub(super) struct Track<'a> {
    pub id: &'a CellId,
    pub values: Vec<f64>,
}

/// A model in one usage, its seeds together.
struct Candidate<'a> {
    model: &'a str,
    usage: Usage,
    specialist: bool,
    in_domain: bool,
    values: Vec<f64>,
}

/// The answers that cells of one split allow; `complete` fills in what they share.
pub(super) fn questions(
    suite: &Suite,
    tracks: &[Track<'_>],
    higher_is_better: bool,
    complete: impl Fn(QuestionReport) -> QuestionReport,
) -> Vec<QuestionReport> {
    let candidates = candidates(suite, tracks);
    let of = |wanted: &dyn Fn(&&Candidate<'_>) -> bool| candidates.iter().filter(wanted).collect::<Vec<_>>();
    let tuned = |usage: Usage| usage != Usage::ZeroShot;
    let generalists = |is_tuned: bool| of(&|c| !c.specialist && tuned(c.usage) == is_tuned);
    let published = of(&|c| c.specialist && c.in_domain && !tuned(c.usage));
    let sides = [
        (generalists(false), published.clone()),
        (generalists(true), published),
        (generalists(true), of(&|c| c.specialist && !c.in_domain && tuned(c.usage))),
    ];
    let answer = |(number, (generalists, specialists)): (u8, (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>))| {
        let values = |side: &[&Candidate<'_>]| side.iter().map(|c| c.values.clone()).collect::<Vec<_>>();
        let (first, second) = (values(&generalists), values(&specialists));
        let found = stats::best_difference([&first, &second], higher_is_better, suite.bootstrap.level)?;
        let choice = |side: usize, candidates: &[&Candidate<'_>]| Choice {
            model: candidates[found.best[side]].model.into(),
            usage: candidates[found.best[side]].usage,
            value: found.values[side],
            share: found.shares[side],
            among: candidates.len(),
        };
        let id = tracks.first()?.id;
        Some(complete(QuestionReport {
            number,
            dataset: id.dataset.clone(),
            split: id.split.clone(),
            task: id.task,
            scorer: String::new(),
            metric: String::new(),
            higher_is_better,
            samples: 0,
            patients: 0,
            generalist: choice(0, &generalists),
            specialist: choice(1, &specialists),
            difference: found.difference,
            low: found.interval.map(|interval| interval.0),
            high: found.interval.map(|interval| interval.1),
            draws: found.draws,
        }))
    };
    (1..).zip(sides).filter_map(answer).collect()
}

fn candidates<'a>(suite: &Suite, tracks: &[Track<'a>]) -> Vec<Candidate<'a>> {
    let mut keys: Vec<(&str, Usage)> = Vec::new();
    for track in tracks {
        let key = (track.id.model.as_str(), track.id.usage);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let candidate = |(model, usage): (&'a str, Usage)| {
        let seeds: Vec<&Track<'a>> =
            tracks.iter().filter(|track| (track.id.model.as_str(), track.id.usage) == (model, usage)).collect();
        let draws = seeds.iter().map(|track| track.values.len()).min().unwrap_or(0);
        let mean = |draw: usize| seeds.iter().map(|track| track.values[draw]).sum::<f64>() / seeds.len() as f64;
        Candidate {
            model,
            usage,
            specialist: suite.is_specialist(model),
            in_domain: seeds.first().is_some_and(|track| suite.is_in_domain(model, &track.id.dataset)),
            values: (0..draws).map(mean).collect(),
        }
    };
    keys.into_iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: &str =
        "models = ['g', 'h', 's', 'o']\nspecialists = ['s', 'o']\nin_domain.s = ['d']\n[[dataset]]\nid = 'd'";

    #[test]
    fn each_question_has_its_own_sides_and_seeds_count_as_their_mean() {
        let suite: Suite = toml::from_str(SUITE).expect("a suite");
        let cells = [
            ("g@d.test.diagnosis.zero-shot.s0", 0.5),
            ("h@d.test.diagnosis.zero-shot.s0", 0.6),
            ("s@d.test.diagnosis.zero-shot.s0", 0.7),
            ("o@d.test.diagnosis.zero-shot.s0", 0.99),
            ("g@d.test.diagnosis.linear-probe.s0", 0.8),
            ("g@d.test.diagnosis.linear-probe.s1", 0.6),
            ("h@d.test.diagnosis.lora.s0", 0.75),
            ("o@d.test.diagnosis.linear-probe.s0", 0.65),
            ("s@d.test.diagnosis.linear-probe.s0", 0.98),
        ];
        let ids: Vec<CellId> = cells.iter().map(|(id, _)| id.parse().expect("a cell")).collect();
        let tracks: Vec<Track<'_>> =
            ids.iter().zip(cells).map(|(id, (_, value))| Track { id, values: vec![value; 3] }).collect();
        let found = questions(&suite, &tracks, true, |report| report);
        let shown: Vec<_> = found
            .iter()
            .map(|q| (q.number, q.generalist.model.as_str(), q.generalist.usage, q.specialist.model.as_str()))
            .collect();
        let expected = [(1, "h", Usage::ZeroShot, "s"), (2, "h", Usage::Lora, "s"), (3, "h", Usage::Lora, "o")];
        assert_eq!(shown, expected);
        for (question, difference) in found.iter().zip([-0.1, 0.05, 0.1]) {
            assert!((question.difference - difference).abs() < 1e-12, "{question:?}");
            assert_eq!((question.draws, question.generalist.among), (2, 2));
        }
    }

    #[test]
    fn without_a_side_there_is_no_answer() {
        let suite: Suite = toml::from_str(SUITE).expect("a suite");
        let id: CellId = "g@d.test.diagnosis.zero-shot.s0".parse().expect("a cell");
        assert!(questions(&suite, &[Track { id: &id, values: vec![0.5] }], true, |report| report).is_empty());
    }
}
