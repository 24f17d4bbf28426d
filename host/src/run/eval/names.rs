//! What MedVLMBench calls datasets, models and usages, and what they are called here.

use crate::{
    dataset,
    error::{Error, Result, suggest},
    ids::{Task, Usage},
    model,
};

/// Datasets, for a task where the same name means several here.
const DATASETS: [(&str, Option<Task>, &str); 21] = [
    ("BreastMNIST", None, "breast-mnist"),
    ("Camelyon17", None, "camelyon17"),
    ("CheXpert", None, "chexpert"),
    ("ChestXray", None, "chest-xray"),
    ("DermaMNIST", None, "derma-mnist"),
    ("Drishti", None, "drishti"),
    ("GF3300", None, "gf3300"),
    ("HAM10000", None, "ham10000"),
    ("Harvard-FairVLMed10k", Some(Task::Vqa), "harvard-fairvlmed10k-vqa"),
    ("Harvard-FairVLMed10k", Some(Task::Caption), "harvard-fairvlmed10k-caption"),
    ("Harvard-FairVLMed10k", Some(Task::Diagnosis), "harvard-fairvlmed10k"),
    ("MIMIC_CXR", None, "mimic-cxr"),
    ("MedXpertQA", None, "medxpertqa"),
    ("OmniMedVQA", None, "omnimedvqa"),
    ("PAPILA", None, "papila"),
    ("PMC-VQA", None, "pmc-vqa"),
    ("PathVQA", None, "path-vqa"),
    ("PneumoniaMNIST", None, "pneumonia-mnist"),
    ("SLAKE", None, "slake"),
    ("VQA-RAD", None, "vqa-rad"),
    ("IU-Xray", None, "iu-xray"),
];

/// Models that MedVLMBench types as medical, by its names for them. What these are here is said by the rows of models.
const MEDICAL_MODELS: [&str; 13] = [
    "BioMedCLIP",
    "LLaVA-Med",
    "Lingshu",
    "MedCLIP",
    "MedGemma",
    "MedSigLIP",
    "PLIP",
    "PMCCLIP",
    "PubMedCLIP",
    "VILA-M3",
    "XrayGPT",
    "gemini-2.5-pro",
    "o3",
];

const GENERAL: &str = "general";
const MEDICAL: &str = "medical";

/// Usages. MedVLMBench raises `NotImplementedError` for `lora_lp` and `clip-adapter`, and trains nothing but the head of
/// `img-lora-lp`.
const USAGES: [(&str, Usage); 6] = [
    ("clip-zs", Usage::ZeroShot),
    ("lp", Usage::LinearProbe),
    ("clip-adapter", Usage::ClipAdapter),
    ("img-lora-lp", Usage::Lora),
    ("clip-img-lora", Usage::Lora),
    ("lora_lp", Usage::Lora),
];

/// Usages of its fork in which several roles answer one question.
const AGENTS: [&str; 2] = ["mdagent", "ucagent"];

/// The dataset that is meant by a name of MedVLMBench or of this program.
pub fn dataset(name: &str, task: Option<Task>, catalog: &dataset::Catalog) -> Result<String> {
    if catalog.iter().any(|manifest| manifest.id == name) {
        return Ok(name.into());
    }
    let named = |(original, of, _): &&(&str, Option<Task>, &str)| {
        same(original, name) && of.is_none_or(|of| task.is_none_or(|t| t == of))
    };
    if let Some((_, _, id)) = DATASETS.iter().find(named) {
        return Ok((*id).into());
    }
    let known = DATASETS.iter().map(|(name, _, _)| *name).chain(catalog.iter().map(|manifest| manifest.id.as_str()));
    Err(Error::usage(format!("unknown dataset `{name}`{}", suggest(name, known))))
}

/// The model that is meant by a name of MedVLMBench or of this program, and its type.
pub fn model(name: &str, task: Task, catalog: &model::Catalog) -> Result<(String, &'static str)> {
    let rows = || catalog.models().map(|(row, _)| row);
    let named = |row: &&model::Row| (same(&row.medvlmbench, name) || same(&row.id, name)) && row.tasks.contains(&task);
    let own = rows().find(|row| row.id == name).or_else(|| rows().find(named));
    let id = match own {
        Some(row) => &row.id,
        // Many models are behind endpoints: `remote:NAME`.
        None if name.contains(':') => name,
        None => {
            let known = rows().flat_map(|row| [row.medvlmbench.as_str(), &row.id]).filter(|known| !known.is_empty());
            return Err(Error::usage(format!("unknown model `{name}`{}", suggest(name, known))));
        }
    };
    let original = own.map_or(name, |row| &row.medvlmbench);
    Ok((id.into(), if MEDICAL_MODELS.contains(&original) { MEDICAL } else { GENERAL }))
}

/// The usage that is meant by a name of MedVLMBench or of this program.
pub fn usage(name: &str) -> Result<Usage> {
    if let Some((_, usage)) = USAGES.iter().find(|(original, _)| same(original, name)) {
        return Ok(*usage);
    }
    if AGENTS.iter().any(|agent| same(agent, name)) {
        return Err(Error::usage(format!(
            "usage `{name}` asks one model in several roles, which this program does not"
        )));
    }
    name.parse().map_err(|_| {
        let own = ["zero-shot", "linear-probe", "clip-adapter", "lora", "full"];
        Error::usage(format!(
            "unknown usage `{name}`{}",
            suggest(name, USAGES.iter().map(|(name, _)| *name).chain(own))
        ))
    })
}

/// Whether two names differ in nothing but case, `-` and `_`.
fn same(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.chars().filter(|c| !"-_".contains(*c)).collect::<String>().to_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_original_are_understood_however_they_are_written() {
        let catalog = dataset::Catalog::default();
        let dataset = |name: &str, task| dataset(name, task, &catalog).map_err(|e| e.to_string());
        assert_eq!(dataset("VQA-RAD", None).as_deref(), Ok("vqa-rad"));
        assert_eq!(dataset("HarvardFairVLMed10k", Some(Task::Diagnosis)).as_deref(), Ok("harvard-fairvlmed10k"));
        assert_eq!(dataset("Harvard-FairVLMed10k", Some(Task::Vqa)).as_deref(), Ok("harvard-fairvlmed10k-vqa"));
        assert_eq!(dataset("SLAK", None), Err("unknown dataset `SLAK`; did you mean `SLAKE`?".into()));
        let dir = tempfile::tempdir().expect("temporary directory");
        let row = |id: &str, name: &str, tasks: &str| {
            format!("[[model]]\nid = '{id}'\narchitecture = 'x'\nmedvlmbench = '{name}'\ntasks = {tasks}\n")
        };
        let rows = [
            row("biomedclip", "BioMedCLIP", "['diagnosis']"),
            row("blip2", "BLIP2-2.7b", "['vqa']"),
            row("blip2-itm", "BLIP2-2.7b", "['diagnosis']"),
            row("llava-1.5", "LLaVA-1.5", "['vqa']"),
        ];
        std::fs::write(dir.path().join("x.so"), "").expect("writable");
        std::fs::write(dir.path().join("x.toml"), rows.concat()).expect("writable");
        let catalog = model::Catalog::load(&[dir.path().into()]).expect("valid");
        let model = |name: &str, task| model(name, task, &catalog).map_err(|e| e.to_string());
        assert_eq!(model("BiomedCLIP", Task::Diagnosis), Ok(("biomedclip".into(), MEDICAL)));
        assert_eq!(model("BLIP2-2.7b", Task::Diagnosis), Ok(("blip2-itm".into(), GENERAL)));
        assert_eq!(model("BLIP2-2.7b", Task::Vqa), Ok(("blip2".into(), GENERAL)));
        assert_eq!(model("LLaVA-1.6", Task::Vqa), Err("unknown model `LLaVA-1.6`; did you mean `LLaVA-1.5`?".into()));
        let usage = |name: &str| usage(name).map_err(|e| e.to_string());
        assert_eq!((usage("clip_zs"), usage("lp")), (Ok(Usage::ZeroShot), Ok(Usage::LinearProbe)));
        assert_eq!(usage("zero-shot"), Ok(Usage::ZeroShot));
        assert_eq!(usage("clip-z"), Err("unknown usage `clip-z`; did you mean `clip-zs`?".into()));
        assert!(usage("mdagent").expect_err("agents").contains("several roles"));
    }
}
