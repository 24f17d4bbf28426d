//! Where this library lies: the paths of a row are relative to the manifest beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The directory of this library, as the kernel mapped it.
pub fn home() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = mapped_at(&maps, home as fn() -> Option<PathBuf> as usize)?;
    Path::new(library).parent().map(Path::to_path_buf)
}

/// The file behind an address, of lines such as `7f00-7f80 r-xp 00001000 fd:01 1234   /path/with blanks.so`.
fn mapped_at(maps: &str, address: usize) -> Option<&str> {
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let bounds = range
            .and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
        bounds.is_some_and(|(from, to)| (from..to).contains(&address))
    })?;
    line.find('/').map(|at| &line[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_behind_an_address_is_found_with_its_blanks() {
        let maps = "1000-2000 r--p 00000000 fd:01 12   /lib/a.so\n2000-3000 r-xp 00001000 fd:01 12   /my lib/b.so\n\
                    4000-5000 rw-p 00000000 00:00 0 \n";
        assert_eq!(mapped_at(maps, 0x1fff), Some("/lib/a.so"));
        assert_eq!(mapped_at(maps, 0x2000), Some("/my lib/b.so"));
        assert_eq!(mapped_at(maps, 0x3000), None);
        assert_eq!(mapped_at(maps, 0x4800), None);
        assert!(home().is_some_and(|dir| dir.is_dir()));
    }
}
