//! Frontal chest films: lungs between ribs, heart and diaphragm; the finding is a nodule or an opacity.
//!
//! What makes it hard: ribs and vessels cross the lungs, and clear lungs too show nipple shadows, vessels seen end-on
//! and old calcified spots.

use crate::canvas::{Blob, Canvas, Curve, Point, Pose, mix, smooth_step};
use crate::dice::Dice;
use crate::finding::{Finding, Kind, Place};
use crate::noise::Noise;
use crate::patient::Sex;
use crate::phantom::Scene;

/// What may be found.
pub const KINDS: [Kind; 2] =
    [Kind { name: "nodule", plural: "nodules", most: 3 }, Kind { name: "opacity", plural: "opacities", most: 1 }];

/// Where it may lie. The patient's right side is on the viewer's left.
pub const PLACES: [Place; 6] = [
    Place { name: "right upper zone", centre: [0.30, 0.28], reach: [0.06, 0.06] },
    Place { name: "right middle zone", centre: [0.26, 0.47], reach: [0.08, 0.05] },
    Place { name: "right lower zone", centre: [0.25, 0.64], reach: [0.08, 0.05] },
    Place { name: "left upper zone", centre: [0.70, 0.28], reach: [0.06, 0.06] },
    Place { name: "left middle zone", centre: [0.75, 0.47], reach: [0.06, 0.05] },
    Place { name: "left lower zone", centre: [0.79, 0.63], reach: [0.04, 0.05] },
];

/// Draws a film.
pub fn render(scene: &mut Scene) -> Canvas {
    let mut canvas = Canvas::new(Pose::near(&mut scene.view, 0.08, 0.03));
    let anatomy = Anatomy::new(&mut scene.body);
    soft_tissue(&mut canvas, &anatomy, scene);
    vessels(&mut canvas, &mut scene.body);
    bones(&mut canvas, &mut scene.body);
    if scene.sex == Sex::Female {
        breasts(&mut canvas, &mut scene.body);
    }
    look_alikes(&mut canvas, scene);
    if let Some(finding) = &scene.finding {
        lesions(&mut canvas, finding, &mut scene.lesion);
    }
    film(&mut canvas, &mut scene.view);
    canvas
}

/// The outlines that vary between patients.
struct Anatomy {
    lung_width: f32,
    apex: f32,
    domes: [f32; 2],
    heart: f32,
    clouds: Noise,
}

impl Anatomy {
    fn new(body: &mut Dice) -> Self {
        Self {
            lung_width: body.range(0.165, 0.195),
            apex: body.range(0.11, 0.15),
            domes: [body.range(0.72, 0.78), body.range(0.75, 0.81)],
            heart: body.range(0.9, 1.2),
            clouds: Noise::new(body, 6, 3),
        }
    }

    /// How much of a point is lung: 1 inside, 0 outside.
    fn lung(&self, [x, y]: Point) -> f32 {
        let side = usize::from(x > 0.5);
        let middle = [0.29, 0.72][side];
        let slant = (y - 0.5) * [-0.10, 0.14][side];
        let across = (x - middle - slant) / self.lung_width;
        let dome = self.domes[side] + 0.07 * across * across;
        let up = ((0.55 - y) / (0.55 - self.apex)).max(0.0);
        let round = across * across + up * up * up;
        (1.0 - smooth_step(0.86, 1.10, round)) * (1.0 - smooth_step(dome - 0.02, dome + 0.02, y))
    }
}

fn soft_tissue(canvas: &mut Canvas, anatomy: &Anatomy, scene: &mut Scene) {
    let body = 0.62 + scene.body.range(-0.05, 0.05);
    let air = scene.body.range(0.16, 0.26);
    let haze = scene.body.range(0.02, 0.05);
    canvas.shade(|point, pixel| {
        let [x, y] = point;
        let shoulder = 0.02 + 0.30 * smooth_step(0.20, 0.5, (x - 0.5).abs()) * (1.0 - smooth_step(0.0, 0.3, y));
        let outside = smooth_step(0.44, 0.52, (x - 0.5).abs() + 0.05 * (0.6 - y))
            .max(1.0 - smooth_step(shoulder - 0.03, shoulder + 0.03, y));
        let flesh = body + 0.10 * smooth_step(0.72, 0.95, y) + haze * anatomy.clouds.at(point);
        let inside =
            flesh + (air + 0.5 * haze * anatomy.clouds.at([y, x]) + 0.08 * (y - 0.4) - flesh) * anatomy.lung(point);
        *pixel = mix([inside; 3], [0.03; 3], outside);
    });
    let mediastinum = Blob::oval([0.51, 0.42], [0.42, 0.075], [0.0, 1.0], 0.25);
    canvas.paint(&mediastinum, [body + 0.12; 3], 0.85);
    let heart = Blob::oval([0.555, 0.635], [0.165 * anatomy.heart, 0.115 * anatomy.heart], [0.86, 0.51], 0.10);
    canvas.paint(&heart, [body + 0.14; 3], 0.9);
    let knuckle = Blob::disc([0.565, 0.33], 0.035, 0.3);
    canvas.paint(&knuckle, [body + 0.10; 3], 0.7);
    let trachea = Curve::new([[0.5, 0.0], [0.5, 0.2], [0.495, 0.34]], [0.035, 0.03]);
    canvas.lighten(&trachea, -0.12);
}

fn vessels(canvas: &mut Canvas, body: &mut Dice) {
    for (hilum, outward) in [([0.42, 0.46], -1.0f32), ([0.60, 0.44], 1.0)] {
        canvas.lighten(&Blob::oval(hilum, [0.08, 0.035], [0.3 * outward, 0.95], 0.8), 0.15);
        for _ in 0..10 {
            let start = [hilum[0], hilum[1] + body.range(-0.07, 0.07)];
            let end = [hilum[0] + outward * body.range(0.10, 0.30), start[1] + body.range(-0.28, 0.26)];
            let middle = 0.5 * (start[1] + end[1]) + body.range(-0.04, 0.04);
            let bend = [hilum[0] + outward * body.range(0.03, 0.10), middle];
            canvas.lighten(&Curve::new([start, bend, end], [0.016, 0.004]), body.range(0.05, 0.11));
        }
    }
}

fn bones(canvas: &mut Canvas, body: &mut Dice) {
    let strength = body.range(0.07, 0.13);
    let spacing = body.range(0.082, 0.092);
    for side in [-1.0f32, 1.0] {
        for rib in 0..8 {
            let y = 0.13 + spacing * rib as f32;
            let wide = 0.5 * (0.24 + 0.02 * rib as f32).min(0.36) + 0.12;
            let place = |across: f32, down: f32| [0.5 + side * across, y + down];
            let back = Curve::new([place(0.05, 0.0), place(0.24, -0.06), place(wide + 0.10, 0.08)], [0.020, 0.024]);
            canvas.lighten(&back, strength);
            let front = Curve::new([place(wide + 0.10, 0.10), place(0.24, 0.24), place(0.12, 0.22)], [0.022, 0.016]);
            canvas.lighten(&front, 0.45 * strength);
        }
        let place = |across: f32, y: f32| [0.5 + side * across, y];
        let clavicle = Curve::new([place(0.05, 0.18), place(0.20, 0.17), place(0.40, 0.10)], [0.034, 0.028]);
        canvas.lighten(&clavicle, 1.3 * strength);
    }
    for vertebra in 0..14 {
        let y = 0.06 + 0.066 * vertebra as f32;
        canvas.lighten(&Blob::oval([0.5, y], [0.040, 0.026], [1.0, 0.0], 0.3), 0.6 * strength);
    }
}

fn breasts(canvas: &mut Canvas, body: &mut Dice) {
    let (size, density) = (body.range(0.13, 0.19), body.range(0.03, 0.08));
    for x in [0.27, 0.75] {
        canvas.lighten(&Blob::disc([x, 0.66], size, 0.12), density);
    }
}

fn look_alikes(canvas: &mut Canvas, scene: &mut Scene) {
    if scene.body.chance(0.35) {
        let (y, strength) = (scene.body.range(0.60, 0.67), scene.body.range(0.06, 0.13));
        for x in [0.25, 0.77] {
            canvas.lighten(&Blob::disc([x + scene.view.range(-0.01, 0.01), y], 0.018, 0.35), strength);
        }
    }
    for _ in 0..scene.body.below(4) {
        let side = if scene.body.chance(0.5) { 0.36 } else { 0.655 };
        let centre = [side + scene.body.range(-0.03, 0.03), scene.body.range(0.36, 0.56)];
        canvas.lighten(&Blob::disc(centre, scene.body.range(0.012, 0.020), 0.4), scene.body.range(0.10, 0.22));
    }
    if scene.body.chance(0.25) {
        let place = &PLACES[scene.body.below(PLACES.len())];
        let centre = place.draw(&mut scene.body);
        canvas.lighten(&Blob::disc(centre, scene.body.range(0.007, 0.011), 0.3), scene.body.range(0.25, 0.40));
    }
}

fn lesions(canvas: &mut Canvas, finding: &Finding, dice: &mut Dice) {
    for _ in 0..finding.count {
        let size = finding.size.draw(dice);
        let centre = finding.place.draw(dice);
        let edge = Noise::new(dice, 12, 2);
        let (radius, softness, ragged, strength) = match finding.kind.name {
            "nodule" => (0.030, 0.45, 0.15, dice.range(0.03, 0.20)),
            _ => (0.070, 0.85, 0.45, dice.range(0.03, 0.17)),
        };
        let radii = [radius * size * dice.range(0.9, 1.2), radius * size * dice.range(0.85, 1.0)];
        let ragged = Some((&edge, ragged));
        canvas.lighten(&Blob { centre, radii, axis: dice.direction(), softness, ragged }, strength);
    }
}

/// What tube, plate and technician add.
fn film(canvas: &mut Canvas, view: &mut Dice) {
    if view.chance(0.6) {
        let bright = [view.range(0.75, 0.95); 3];
        let [x, y] = [view.range(0.06, 0.10), view.range(0.06, 0.16)];
        for line in
            [[[x, y], [x, y + 0.025], [x, y + 0.05]], [[x, y + 0.05], [x + 0.015, y + 0.05], [x + 0.03, y + 0.05]]]
        {
            canvas.paint(&Curve::new(line, [0.012, 0.012]), bright, 1.0);
        }
    }
    canvas.blur(view.range(0.1, 0.7));
    canvas.expose(view.range(0.8, 1.25), view.range(-0.3, 0.3));
    let grain = view.range(0.012, 0.035);
    canvas.grain(view, grain, true);
}
