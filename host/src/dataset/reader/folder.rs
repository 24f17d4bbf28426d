//! Directories `<split>/<class>/<image>`, with the columns `class`, `path`, `file` and `stem`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{ImageRef, Place, Row, Table};
use crate::error::{Error, Result};

const EXTENSIONS: [&str; 9] = ["bmp", "dib", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The images of one split's directory, sorted by class and name; hidden files and other formats are passed over.
pub fn rows(dir: &Path, root: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for class in sorted(dir)?.iter().filter(|path| path.is_dir()) {
        for image in sorted(class)?.into_iter().filter(|path| path.is_file() && is_image(path)) {
            rows.push(row(root, class, image));
        }
    }
    if rows.is_empty() {
        return Err(Error::invalid(dir, "no images in directories of classes"));
    }
    Ok(Table::new(dir, ["class", "path", "file", "stem"].map(String::from), rows))
}

fn row(root: &Path, class: &Path, image: PathBuf) -> Row {
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = image.strip_prefix(root).unwrap_or(&image).to_string_lossy().replace('\\', "/");
    let cells = [
        ("class", last(class)),
        ("path", path.clone()),
        ("file", last(&image)),
        ("stem", image.file_stem().unwrap_or_default().to_string_lossy().into_owned()),
    ];
    let cells: Map<String, Value> = cells.map(|(column, text)| (column.to_string(), text.into())).into_iter().collect();
    Row { name: Some(path), cells, images: vec![ImageRef(Place::File(image))] }
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>().map_err(Error::io(dir))?;
    paths.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
