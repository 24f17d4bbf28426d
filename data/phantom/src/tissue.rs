//! Stained tissue under the microscope: glands and scattered nuclei; the finding is a cluster of atypical nuclei.
//!
//! What makes it hard: healthy tissue too holds dense groups of nuclei, but small, round and alike ones (lymphocytes);
//! and stain, focus and thickness vary.

use crate::canvas::{Blob, Canvas, Colour, Curve, Point, Pose, mix};
use crate::dice::Dice;
use crate::finding::{Finding, Kind, Place};
use crate::noise::Noise;
use crate::phantom::Scene;

/// What may be found.
pub const KINDS: [Kind; 1] =
    [Kind { name: "cluster of atypical nuclei", plural: "clusters of atypical nuclei", most: 1 }];

/// Where it may lie in the patch.
pub const PLACES: [Place; 5] = [
    Place { name: "centre", centre: [0.50, 0.50], reach: [0.05, 0.05] },
    Place { name: "upper left", centre: [0.28, 0.28], reach: [0.06, 0.06] },
    Place { name: "upper right", centre: [0.72, 0.28], reach: [0.06, 0.06] },
    Place { name: "lower left", centre: [0.28, 0.72], reach: [0.06, 0.06] },
    Place { name: "lower right", centre: [0.72, 0.72], reach: [0.06, 0.06] },
];

/// Draws a patch.
pub fn render(scene: &mut Scene) -> Canvas {
    let mut canvas = Canvas::new(Pose::near(&mut scene.view, 0.15, 0.02));
    let stain = Stain::new(&mut scene.body);
    stroma(&mut canvas, &stain, &mut scene.view);
    glands(&mut canvas, &stain, &mut scene.view);
    for _ in 0..18 + scene.view.below(18) {
        let centre = [scene.view.unit(), scene.view.unit()];
        nucleus(&mut canvas, &stain, centre, 1.0, 0.6, &mut scene.view);
    }
    if scene.view.chance(0.55) {
        lymphocytes(&mut canvas, &stain, &mut scene.view);
    }
    if let Some(finding) = &scene.finding {
        cluster(&mut canvas, finding, &stain, &mut scene.lesion);
    }
    microscope(&mut canvas, &mut scene.view);
    canvas
}

/// The laboratory's colours.
struct Stain {
    eosin: Colour,
    haematoxylin: Colour,
}

impl Stain {
    fn new(body: &mut Dice) -> Self {
        Self {
            eosin: mix([0.93, 0.70, 0.82], [0.86, 0.55, 0.66], body.unit()),
            haematoxylin: mix([0.42, 0.26, 0.58], [0.28, 0.20, 0.50], body.unit()),
        }
    }
}

fn stroma(canvas: &mut Canvas, stain: &Stain, view: &mut Dice) {
    let fibres = Noise::new(view, 9, 3);
    let [dx, dy] = view.direction();
    canvas.shade(|[x, y], pixel| {
        let along = 0.25 * (x * dx + y * dy);
        let level = fibres.at([along, y * dx - x * dy]);
        *pixel = mix(stain.eosin, [0.97, 0.90, 0.94], (0.35 + 0.3 * level).clamp(0.0, 1.0));
    });
    for _ in 0..5 {
        let [x, y] = [view.unit(), view.unit()];
        let line = [[x - 0.4 * dx, y - 0.4 * dy], [x, y + view.range(-0.08, 0.08)], [x + 0.4 * dx, y + 0.4 * dy]];
        canvas.paint(&Curve::new(line, [0.02, 0.01]), [0.99, 0.96, 0.97], 0.5);
    }
}

/// Rings of nuclei around a pale opening.
fn glands(canvas: &mut Canvas, stain: &Stain, view: &mut Dice) {
    for _ in 0..1 + view.below(3) {
        let centre = [view.range(0.1, 0.9), view.range(0.1, 0.9)];
        let radius = view.range(0.09, 0.16);
        canvas.paint(&Blob::disc(centre, 1.25 * radius, 0.15), mix(stain.eosin, stain.haematoxylin, 0.18), 0.8);
        canvas.paint(&Blob::disc(centre, 0.55 * radius, 0.2), [0.98, 0.95, 0.97], 0.9);
        for _ in 0..(radius * 140.0) as usize {
            let [dx, dy] = view.direction();
            let place = [centre[0] + radius * dx, centre[1] + radius * dy];
            nucleus(canvas, stain, place, 0.95, 0.65, view);
        }
    }
}

/// One ordinary nucleus of a given relative size and darkness.
fn nucleus(canvas: &mut Canvas, stain: &Stain, centre: Point, size: f32, opacity: f32, view: &mut Dice) {
    let radius = 0.021 * size * view.range(0.85, 1.15);
    let shape = Blob::oval(centre, [radius * view.range(1.0, 1.5), radius], view.direction(), 0.2);
    canvas.paint(&shape, stain.haematoxylin, opacity * view.range(0.8, 1.1));
}

/// A dense group of small, round, dark nuclei, harmless.
fn lymphocytes(canvas: &mut Canvas, stain: &Stain, view: &mut Dice) {
    let centre = [view.range(0.15, 0.85), view.range(0.15, 0.85)];
    for _ in 0..12 + view.below(18) {
        let place = [centre[0] + 0.08 * view.bell(), centre[1] + 0.08 * view.bell()];
        canvas.paint(&Blob::disc(place, 0.018, 0.2), stain.haematoxylin.map(|channel| 0.75 * channel), 0.85);
    }
}

fn cluster(canvas: &mut Canvas, finding: &Finding, stain: &Stain, dice: &mut Dice) {
    let centre = finding.place.draw(dice);
    let size = finding.size.draw(dice);
    let atypia = dice.range(0.3, 1.0);
    for _ in 0..(6.0 + 7.0 * size) as usize {
        let place = [centre[0] + 0.07 * size * dice.bell(), centre[1] + 0.07 * size * dice.bell()];
        let edge = Noise::new(dice, 18, 1);
        let radius = 0.022 + 0.018 * atypia * dice.range(-0.3, 1.0);
        let radii = [radius * dice.range(1.0, 1.0 + 0.8 * atypia), radius];
        let ragged = Some((&edge, 0.35 * atypia));
        let shape = Blob { centre: place, radii, axis: dice.direction(), softness: 0.15, ragged };
        let dark = dice.range(0.70, 1.10);
        canvas.paint(&shape, stain.haematoxylin.map(|channel| dark * channel), 0.85);
        if dice.chance(0.5 * atypia) {
            canvas.paint(&Blob::disc(place, 0.3 * radius, 0.3), [0.20, 0.08, 0.30], 0.7);
        }
    }
}

fn microscope(canvas: &mut Canvas, view: &mut Dice) {
    canvas.blur(view.range(0.0, 0.8));
    canvas.expose(view.range(0.85, 1.2), view.range(-0.2, 0.25));
    let grain = view.range(0.008, 0.02);
    canvas.grain(view, grain, false);
}
