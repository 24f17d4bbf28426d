//! Where the tokens of a prompt are in time, height and width; reference `get_rope_index`.

use blocks::vision::Grid;

/// Positions of the tokens `ids`, in which `image` stands for a vector of an image and `start` precedes an image. `grids` are
/// rows and columns of vectors.
///
/// A text goes on along all axes, from behind whatever precedes it. The vectors of an image are at one time, each in its
/// row and column. An image that nothing precedes is a text.
pub fn positions(ids: &[u32], image: u32, start: u32, grids: &[Grid]) -> Vec<[u32; 3]> {
    let marked = ids.windows(2).filter(|pair| *pair == [start, image]).count();
    let mut places = Vec::with_capacity(ids.len());
    let mut next = 0;
    let text = |first: u32, count: usize| (first..).take(count).map(|position| [position; 3]);
    for &[rows, columns] in grids.iter().take(marked) {
        let Some(before) = ids[places.len()..].iter().position(|&id| id == image) else { break };
        places.extend(text(next, before));
        next += before as u32;
        let (rows, columns) = (rows as u32, columns as u32);
        places.extend((0..rows).flat_map(|row| (0..columns).map(move |column| [next, next + row, next + column])));
        next += rows.max(columns);
    }
    places.extend(text(next, ids.len().saturating_sub(places.len())));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_between_texts() {
        let (start, image) = (8, 9);
        let ids = [1, start, image, image, image, image, image, image, 2, start, image, image, 3];
        let found = positions(&ids, image, start, &[[2, 3], [2, 1]]);
        let expected = [
            [0, 0, 0],
            [1, 1, 1],
            [2, 2, 2],
            [2, 2, 3],
            [2, 2, 4],
            [2, 3, 2],
            [2, 3, 3],
            [2, 3, 4],
            [5, 5, 5],
            [6, 6, 6],
            [7, 7, 7],
            [7, 8, 7],
            [9, 9, 9],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_image_without_a_beginning_is_a_text() {
        let found = positions(&[1, 9, 9, 2], 9, 8, &[[2, 1]]);
        assert_eq!(found, [[0; 3], [1; 3], [2; 3], [3; 3]]);
    }
}
