//! Fundus photographs: optic disc, macula and vessels; the finding is haemorrhages or exudates.
//!
//! What makes it hard: healthy eyes too show drusen, patches of pigment, light reflexes and dust on the lens.

use crate::canvas::{Blob, Canvas, Colour, Curve, Point, Pose, mix, smooth_step};
use crate::dice::Dice;
use crate::finding::{Finding, Kind, Place};
use crate::noise::Noise;
use crate::phantom::Scene;

/// What may be found.
pub const KINDS: [Kind; 2] = [
    Kind { name: "haemorrhage", plural: "haemorrhages", most: 6 },
    Kind { name: "exudate", plural: "exudates", most: 6 },
];

/// Where it may lie, for a right eye; a left eye is its mirror image.
pub const PLACES: [Place; 4] = [
    Place { name: "upper temporal quadrant", centre: [0.30, 0.32], reach: [0.11, 0.09] },
    Place { name: "lower temporal quadrant", centre: [0.30, 0.68], reach: [0.11, 0.09] },
    Place { name: "upper nasal quadrant", centre: [0.70, 0.26], reach: [0.08, 0.08] },
    Place { name: "lower nasal quadrant", centre: [0.70, 0.74], reach: [0.08, 0.08] },
];

const DISC: Point = [0.70, 0.49];
const MACULA: Point = [0.41, 0.52];

/// Draws a photograph.
pub fn render(scene: &mut Scene) -> Canvas {
    let mut pose = Pose::near(&mut scene.view, 0.06, 0.02);
    pose.mirror = scene.view.chance(0.5);
    let mut canvas = Canvas::new(pose);
    let vein = retina(&mut canvas, scene);
    vessels(&mut canvas, vein, &mut scene.body);
    disc(&mut canvas, &mut scene.body);
    look_alikes(&mut canvas, vein, scene);
    if let Some(finding) = &scene.finding {
        lesions(&mut canvas, finding, vein, &mut scene.lesion);
    }
    camera(&mut canvas, &mut scene.view);
    canvas
}

/// The coloured ground with its macula. Gives the colour of dark blood.
fn retina(canvas: &mut Canvas, scene: &mut Scene) -> Colour {
    let pigment = scene.body.unit();
    let ground = mix([0.86, 0.46, 0.22], [0.62, 0.27, 0.12], pigment);
    let choroid = Noise::new(&mut scene.body, 5, 4);
    let streaks = scene.body.range(0.02, 0.07);
    let macula = scene.body.range(0.25, 0.5);
    canvas.shade(|point, pixel| {
        let texture = 1.0 + streaks * choroid.at(point);
        let shadow = 1.0 - macula * (1.0 - smooth_step(0.0, 0.13, distance(point, MACULA)));
        *pixel = ground.map(|channel| channel * texture * shadow);
    });
    mix(ground, [0.28, 0.02, 0.03], 0.75)
}

fn vessels(canvas: &mut Canvas, vein: Colour, body: &mut Dice) {
    let artery = mix(vein, [0.85, 0.30, 0.18], 0.5);
    let width = body.range(0.013, 0.018);
    for up in [-1.0f32, 1.0] {
        for (colour, width, offset) in [(vein, width, 0.0), (artery, 0.7 * width, 0.035)] {
            let y = |reach: f32| DISC[1] + up * (reach + offset);
            let jitter = body.range(-0.03, 0.03);
            let arcade = Curve::new([DISC, [0.52 + jitter, y(0.46)], [0.10, y(0.20 + jitter)]], [width, 0.4 * width]);
            branches(canvas, &arcade, colour, width, body);
            let nasal = Curve::new([DISC, [0.78, y(0.14)], [0.93, y(0.22 + 2.0 * jitter)]], [0.7 * width, 0.3 * width]);
            branches(canvas, &nasal, colour, 0.6 * width, body);
        }
    }
}

fn branches(canvas: &mut Canvas, trunk: &Curve, colour: Colour, width: f32, body: &mut Dice) {
    canvas.paint(trunk, colour, 0.8);
    for _ in 0..4 {
        let part = body.range(0.25, 0.95);
        let root = trunk.at(part);
        let [dx, dy] = body.direction();
        let length = body.range(0.10, 0.20);
        let tip = [root[0] + dx * length - 0.05, root[1] + dy * length];
        let bend =
            [0.5 * (root[0] + tip[0]) + body.range(-0.03, 0.03), 0.5 * (root[1] + tip[1]) + body.range(-0.03, 0.03)];
        canvas.paint(&Curve::new([root, bend, tip], [0.6 * width, 0.2 * width]), colour, 0.7);
    }
}

fn disc(canvas: &mut Canvas, body: &mut Dice) {
    let radius = body.range(0.062, 0.078);
    let cup = body.range(0.30, 0.55);
    canvas.paint(&Blob::oval(DISC, [radius * 1.08, radius], [0.0, 1.0], 0.15), [0.97, 0.78, 0.48], 0.75);
    canvas.paint(&Blob::disc(DISC, radius * cup, 0.4), [1.0, 0.93, 0.75], 0.7);
}

fn look_alikes(canvas: &mut Canvas, vein: Colour, scene: &mut Scene) {
    let body = &mut scene.body;
    if body.chance(0.30) {
        for _ in 0..3 + body.below(6) {
            let centre = [MACULA[0] + 0.07 * body.bell(), MACULA[1] + 0.07 * body.bell()];
            canvas.paint(&Blob::disc(centre, body.range(0.008, 0.016), 0.7), [0.95, 0.72, 0.38], body.range(0.25, 0.5));
        }
    }
    if body.chance(0.35) {
        let centre = PLACES[body.below(PLACES.len())].draw(body);
        let edge = Noise::new(body, 8, 2);
        let (radius, axis) = (body.range(0.025, 0.06), body.direction());
        let pigment = Blob { centre, radii: [radius, 0.8 * radius], axis, softness: 0.6, ragged: Some((&edge, 0.2)) };
        canvas.paint(&pigment, mix(vein, [0.15, 0.12, 0.10], 0.6), body.range(0.3, 0.6));
    }
    let view = &mut scene.view;
    for _ in 0..view.below(4) {
        let centre = [view.range(0.2, 0.8), view.range(0.2, 0.8)];
        canvas.paint(&Blob::disc(centre, view.range(0.008, 0.014), 0.5), [0.22, 0.14, 0.10], view.range(0.15, 0.45));
    }
    if view.chance(0.3) {
        let y = MACULA[1] + view.range(-0.15, 0.15);
        let reflex = Curve::new([[0.30, y - 0.06], [0.42, y], [0.50, y + 0.10]], [0.03, 0.01]);
        canvas.lighten(&reflex, view.range(0.04, 0.10));
    }
}

fn lesions(canvas: &mut Canvas, finding: &Finding, vein: Colour, dice: &mut Dice) {
    let centre = finding.place.draw(dice);
    let strength = dice.range(0.25, 0.90);
    for index in 0..finding.count {
        let size = finding.size.draw(dice);
        let spread = if index == 0 { 0.0 } else { 0.06 };
        let centre = [centre[0] + spread * dice.bell(), centre[1] + spread * dice.bell()];
        let edge = Noise::new(dice, 14, 2);
        let axis = dice.direction();
        let (radii, softness, ragged, colour) = match finding.kind.name {
            "haemorrhage" => ([0.034, 0.025], 0.25, 0.35, mix(vein, [0.30, 0.0, 0.02], 0.7)),
            _ => ([0.028, 0.022], 0.15, 0.35, [0.99, 0.86, 0.48]),
        };
        let radii = radii.map(|radius: f32| radius * size * dice.range(0.8, 1.2));
        canvas.paint(&Blob { centre, radii, axis, softness, ragged: Some((&edge, ragged)) }, colour, strength);
    }
}

/// The camera's round field, uneven light and noise.
fn camera(canvas: &mut Canvas, view: &mut Dice) {
    let light = [0.5 + view.range(-0.12, 0.12), 0.5 + view.range(-0.12, 0.12)];
    let fall = view.range(0.25, 0.6);
    let tint = [1.0, view.range(0.92, 1.08), view.range(0.85, 1.15)];
    canvas.blur(view.range(0.0, 0.6));
    canvas.expose(view.range(0.85, 1.2), view.range(-0.25, 0.35));
    canvas.shade(|point, pixel| {
        let away = distance(point, light);
        let field = 1.0 - smooth_step(0.455, 0.475, distance(point, [0.5, 0.5]));
        let level = field * (1.0 - fall * (away / 0.5) * (away / 0.5));
        *pixel = [0, 1, 2].map(|channel| pixel[channel] * tint[channel] * level.max(0.0));
    });
    let grain = view.range(0.008, 0.025);
    canvas.grain(view, grain, false);
}

fn distance(a: Point, b: Point) -> f32 {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    (x * x + y * y).sqrt()
}
