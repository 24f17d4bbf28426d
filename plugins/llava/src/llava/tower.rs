//! Where a checkpoint has its vision tower.

use std::path::{Path, PathBuf};

use blocks::{
    Error, Result,
    weights::{Names, Weights},
};
use bridge::Place;

use super::{
    config::{Config, Layout},
    keys::{AUTHORS, CLASS, HUB, TOWER, WITHOUT_TOWER},
    vision::Vision,
};

/// The tensors of a checkpoint and its vision tower.
pub struct Tower {
    /// The dimensions of the tower.
    pub vision: Vision,
    /// The tower's own folder, where it has one.
    pub folder: Option<PathBuf>,
    /// All tensors, or those beside the tower.
    pub weights: Weights,
    /// The tower's tensors, where they are in its own folder.
    pub apart: Option<Weights>,
}

impl Tower {
    /// Finds the tower of a checkpoint. In the authors' layout it may be in a folder of its own: `option`, relative to the
    /// checkpoint, or `vision_tower` in there, or the one that `config.json` names, if it is one. With `own`, its tensors
    /// are taken from there even if the checkpoint has some.
    ///
    /// # Errors
    /// There is no tower, or nothing tells its dimensions.
    pub fn find(place: &Place, settings: &Config, option: Option<&str>, own: bool) -> Result<Self> {
        let open = |dir: &Path, names: &Names| Weights::open(dir, names, place.dtype, &place.device);
        let (dir, vision) = (place.dir.as_path(), settings.vision.clone());
        let Layout::Authors { tower: name, .. } = &settings.layout else {
            if option.is_some() {
                return Err(Error::Setting("option `vision_tower` is none of this layout, which has its own".into()));
            }
            let class = open(dir, &CLASS)?;
            let weights = if class.shape("text.tokens.weight").is_some() { class } else { open(dir, &HUB)? };
            let vision = vision.ok_or_else(|| unknown(dir, ""))?;
            return Ok(Self { vision, folder: None, weights, apart: None });
        };
        let folder = folder(dir, option, name);
        let weights = open(dir, &AUTHORS)?;
        let inside = weights.shape("vision.position").is_some();
        let apart = match (&folder, inside && !own) {
            (_, true) => None,
            (Some(folder), false) => Some(open(folder, &TOWER)?),
            (None, false) => return Err(missing(dir, name)),
        };
        let weights = if inside && apart.is_some() { open(dir, &WITHOUT_TOWER)? } else { weights };
        let vision = match &folder {
            Some(folder) => Vision::from_dir(folder)?,
            None => vision.or_else(|| Vision::published(name)).ok_or_else(|| unknown(dir, name))?,
        };
        Ok(Self { vision, folder, weights, apart })
    }
}

fn folder(dir: &Path, option: Option<&str>, name: &str) -> Option<PathBuf> {
    if let Some(option) = option {
        return Some(dir.join(option));
    }
    let named = (!name.is_empty()).then(|| dir.join(name));
    [Some(dir.join("vision_tower")), named].into_iter().flatten().find(|path| path.is_dir())
}

fn missing(dir: &Path, name: &str) -> Error {
    let reason = format!(
        "the vision tower `{name}` is not here; put a copy of its repository into the subfolder `vision_tower`, or name its \
         folder in option `vision_tower`"
    );
    Error::invalid(dir, reason)
}

fn unknown(dir: &Path, name: &str) -> Error {
    let reason = format!(
        "nothing tells the dimensions of the vision tower `{name}`; put its `config.json` into the subfolder `vision_tower`, \
         or name its folder in option `vision_tower`"
    );
    Error::invalid(dir.join("config.json"), reason)
}
