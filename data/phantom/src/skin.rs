//! Close-ups of skin: every picture shows a pigmented lesion; the finding is that it is irregular.
//!
//! What makes it hard: regular naevi vary in size, shade and outline, irregular ones may be small and nearly even, and
//! hairs, creases and pen marks cover either.

use crate::canvas::{Blob, Canvas, Colour, Curve, Point, Pose, mix, smooth_step};
use crate::dice::Dice;
use crate::finding::{Kind, Place};
use crate::noise::Noise;
use crate::phantom::Scene;

/// What may be found.
pub const KINDS: [Kind; 1] =
    [Kind { name: "irregular pigmented lesion", plural: "irregular pigmented lesions", most: 1 }];

/// Where it may lie in the picture.
pub const PLACES: [Place; 5] = [
    Place { name: "centre", centre: [0.50, 0.50], reach: [0.04, 0.04] },
    Place { name: "upper left", centre: [0.36, 0.36], reach: [0.04, 0.04] },
    Place { name: "upper right", centre: [0.64, 0.36], reach: [0.04, 0.04] },
    Place { name: "lower left", centre: [0.36, 0.64], reach: [0.04, 0.04] },
    Place { name: "lower right", centre: [0.64, 0.64], reach: [0.04, 0.04] },
];

/// Draws a close-up.
pub fn render(scene: &mut Scene) -> Canvas {
    let mut canvas = Canvas::new(Pose::near(&mut scene.view, 0.08, 0.02));
    let skin = ground(&mut canvas, &mut scene.body);
    let dice = &mut scene.lesion;
    match &scene.finding {
        Some(finding) => {
            let (centre, size) = (finding.place.draw(dice), finding.size.draw(dice));
            irregular_lesion(&mut canvas, centre, 0.14 * size, skin, dice);
        }
        None => {
            let centre = PLACES[dice.below(PLACES.len())].draw(dice);
            let radius = dice.range(0.07, 0.19);
            regular_naevus(&mut canvas, centre, radius, skin, dice);
        }
    }
    surroundings(&mut canvas, scene);
    camera(&mut canvas, &mut scene.view);
    canvas
}

/// Skin with mottling and creases. Gives its colour.
fn ground(canvas: &mut Canvas, body: &mut Dice) -> Colour {
    let tone = body.unit();
    let skin = mix([0.93, 0.75, 0.66], [0.55, 0.36, 0.26], tone * tone);
    let mottle = Noise::new(body, 4, 4);
    let redness = Noise::new(body, 3, 2);
    canvas.shade(|point, pixel| {
        let level = 1.0 + 0.035 * mottle.at(point);
        let flush = 0.025 * redness.at(point);
        *pixel = [skin[0] * level + flush, skin[1] * level - flush, skin[2] * level - flush];
    });
    let [dx, dy] = body.direction();
    for _ in 0..26 {
        let [x, y] = [body.range(-0.1, 1.1), body.range(-0.1, 1.1)];
        let turn = body.range(-0.35, 0.35);
        let (ux, uy) =
            if body.chance(0.6) { (dx - turn * dy, dy + turn * dx) } else { (-dy + turn * dx, dx + turn * dy) };
        let line = [[x - 0.25 * ux, y - 0.25 * uy], [x, y + 0.02], [x + 0.25 * ux, y + 0.25 * uy]];
        canvas.lighten(&Curve::new(line, [0.008, 0.004]), -0.04);
    }
    skin
}

fn regular_naevus(canvas: &mut Canvas, centre: Point, radius: f32, skin: Colour, dice: &mut Dice) {
    let edge = Noise::new(dice, 6, 2);
    let inside = Noise::new(dice, 10, 2);
    let brown = mix(mix(skin, [0.46, 0.26, 0.16], 0.85), [0.22, 0.12, 0.08], dice.range(0.0, 0.9));
    let radii = [radius * dice.range(1.0, 1.35), radius];
    let ragged = Some((&edge, dice.range(0.04, 0.20)));
    let mottle = dice.range(0.03, 0.12);
    let naevus = Blob { centre, radii, axis: dice.direction(), softness: dice.range(0.10, 0.35), ragged };
    let opacity = dice.range(0.65, 0.95);
    canvas.shade_in(&naevus, |point, coverage, pixel| {
        let colour = brown.map(|channel| channel * (1.0 + mottle * inside.at(point)));
        *pixel = mix(*pixel, colour, opacity * coverage);
    });
    if dice.chance(0.3) {
        canvas.paint(&Blob::disc(centre, 0.5 * radius, 0.6), [0.24, 0.13, 0.09], dice.range(0.2, 0.5));
    }
}

fn irregular_lesion(canvas: &mut Canvas, centre: Point, radius: f32, skin: Colour, dice: &mut Dice) {
    let edge = Noise::new(dice, 7, 3);
    let patches = [Noise::new(dice, 6, 2), Noise::new(dice, 5, 2), Noise::new(dice, 7, 2)];
    let variety = dice.range(0.1, 0.8);
    let brown = mix(mix(skin, [0.44, 0.25, 0.16], 0.85), [0.22, 0.12, 0.08], dice.range(0.0, 0.6));
    let hues: [Colour; 3] = [[0.12, 0.07, 0.07], [0.38, 0.37, 0.42], [0.60, 0.32, 0.24]];
    let radii = [radius * dice.range(1.0, 1.35), radius * dice.range(0.75, 1.0)];
    let ragged = Some((&edge, dice.range(0.12, 0.38)));
    let lesion = Blob { centre, radii, axis: dice.direction(), softness: dice.range(0.06, 0.25), ragged };
    canvas.shade_in(&lesion, |point, coverage, pixel| {
        let mut colour = brown;
        for (hue, patch) in hues.iter().zip(&patches) {
            colour = mix(colour, *hue, variety * smooth_step(-0.1, 0.9, patch.at(point)));
        }
        *pixel = mix(*pixel, colour, 0.92 * coverage);
    });
}

/// What else a close-up shows: hairs, small freckles, a pen mark, the rim of the lens.
fn surroundings(canvas: &mut Canvas, scene: &mut Scene) {
    let view = &mut scene.view;
    for _ in 0..view.below(6) {
        let centre = [view.unit(), view.unit()];
        canvas.paint(&Blob::disc(centre, view.range(0.008, 0.02), 0.5), [0.50, 0.30, 0.20], view.range(0.2, 0.5));
    }
    let hairs = if scene.body.chance(0.45) { 3 + view.below(12) } else { 0 };
    for _ in 0..hairs {
        let [x, y] = [view.unit(), view.unit()];
        let [dx, dy] = view.direction();
        let bend = [x + 0.5 * dx * 0.4 + view.range(-0.06, 0.06), y + 0.5 * dy * 0.4 + view.range(-0.06, 0.06)];
        let hair = Curve::new([[x, y], bend, [x + 0.4 * dx, y + 0.4 * dy]], [0.012, 0.006]);
        canvas.paint(&hair, [0.16, 0.10, 0.07], 0.75);
    }
    if view.chance(0.15) {
        let x = view.range(0.85, 0.95);
        canvas.paint(&Curve::new([[x, 0.1], [x - 0.06, 0.3], [x, 0.5]], [0.03, 0.02]), [0.35, 0.22, 0.60], 0.6);
    }
}

fn camera(canvas: &mut Canvas, view: &mut Dice) {
    let rim = if view.chance(0.3) { view.range(0.50, 0.62) } else { 1.0 };
    let fall = view.range(0.0, 0.25);
    canvas.shade(|[x, y], pixel| {
        let square = (x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5);
        let level = (1.0 - fall * square * 2.0) * (1.0 - 0.9 * smooth_step(rim - 0.02, rim + 0.02, square.sqrt()));
        *pixel = pixel.map(|channel| channel * level);
    });
    canvas.blur(view.range(0.0, 0.5));
    canvas.expose(view.range(0.85, 1.15), view.range(-0.2, 0.25));
    let grain = view.range(0.008, 0.022);
    canvas.grain(view, grain, false);
}
