//! Grey values: the modality transform, then the value-of-interest transform, then the inversion of MONOCHROME1.

use dicom_object::{DefaultDicomObject, Tag};
use dicom_pixeldata::{DecodedPixelData, VoiLutFunction};

use super::{Result, Stored, table::Table};
use crate::dataset::DicomRule;

const WINDOW_CENTER: Tag = Tag(0x0028, 0x1050);
const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
const MODALITY_TABLE: Tag = Tag(0x0028, 0x3000);
const INTEREST_TABLE: Tag = Tag(0x0028, 0x3010);

/// RGB of the values, which are what DICOM calls stored values.
pub fn rgb(
    object: &DefaultDicomObject,
    data: &DecodedPixelData<'_>,
    stored: Stored,
    rule: &DicomRule,
    inverted: bool,
) -> Result<Vec<u8>> {
    let shown = |grey: u8| [if inverted { 255 - grey } else { grey }; 3];
    let interest = interest(object, data, rule)?;
    if let (Interest::Everything, 0..=8) = (&interest, stored.bits) {
        let offset = if stored.signed { 1 << (stored.bits - 1) } else { 0 };
        let highest = (1 << stored.bits) - 1;
        let full_scale = |value: &i32| u8::try_from((value + offset) * 255 / highest).unwrap_or(u8::MAX);
        return Ok(stored.values.iter().flat_map(|value| shown(full_scale(value))).collect());
    }
    let grey: Box<dyn Fn(f64) -> u8> = match interest {
        Interest::Everything => {
            let bits = stored.bits;
            return Err(format!(
                "has {bits} bits a pixel and no window; name one with `window` in [dicom] of the manifest"
            ));
        }
        Interest::Window(window) => Box::new(move |value| window.grey(value)),
        Interest::Table(table) => Box::new(move |value| table.grey(value.round() as i64)),
    };
    let modality = modality(object, data)?;
    // Neighbouring pixels share few values, and a table of all of them is small.
    let low = stored.values.iter().copied().min().unwrap_or_default();
    let high = stored.values.iter().copied().max().unwrap_or_default();
    let of_value: Vec<[u8; 3]> = (low..=high).map(|value| shown(grey(modality(value)))).collect();
    let position = |value: &i32| usize::try_from(value - low).unwrap_or_default();
    Ok(stored.values.iter().flat_map(|value| of_value[position(value)]).collect())
}

type Modality = Box<dyn Fn(i32) -> f64>;

fn modality(object: &DefaultDicomObject, data: &DecodedPixelData<'_>) -> Result<Modality> {
    if let Some(table) = Table::of_sequence(object, MODALITY_TABLE)? {
        return Ok(Box::new(move |value| f64::from(table.entry(i64::from(value)))));
    }
    let rescale = data.rescale().map_err(|e| e.to_string())?.first().copied();
    let (slope, intercept) = rescale.map_or((1.0, 0.0), |rescale| (rescale.slope, rescale.intercept));
    Ok(Box::new(move |value| f64::from(value) * slope + intercept))
}

/// Which values matter.
enum Interest {
    Everything,
    Window(Window),
    Table(Table),
}

fn interest(object: &DefaultDicomObject, data: &DecodedPixelData<'_>, rule: &DicomRule) -> Result<Interest> {
    let function = data.voi_lut_function().map_err(|e| e.to_string())?.and_then(<[_]>::first).copied();
    let function = function.unwrap_or(VoiLutFunction::Linear);
    if let Some((center, width)) = rule.window {
        return Window::new(center, width, VoiLutFunction::Linear).map(Interest::Window);
    }
    if let Some(table) = Table::of_sequence(object, INTEREST_TABLE)? {
        return Ok(Interest::Table(table));
    }
    let windows = windows(object, data)?;
    match windows.get(rule.window_index) {
        Some((center, width)) => Window::new(*center, *width, function).map(Interest::Window),
        None if rule.window_index == 0 => Ok(Interest::Everything),
        None => Err(format!("has {} windows, the manifest asks for window {}", windows.len(), rule.window_index)),
    }
}

/// Centre and width of the file's windows; those of the frame where the file has them by frame.
fn windows(object: &DefaultDicomObject, data: &DecodedPixelData<'_>) -> Result<Vec<(f64, f64)>> {
    let numbers = |tag| object.get(tag).and_then(|element| element.to_multi_float64().ok()).unwrap_or_default();
    let (centers, widths) = (numbers(WINDOW_CENTER), numbers(WINDOW_WIDTH));
    if !centers.is_empty() {
        return Ok(centers.into_iter().zip(widths).collect());
    }
    let of_frame = data.window().map_err(|e| e.to_string())?.unwrap_or_default();
    Ok(of_frame.iter().map(|window| (window.center, window.width)).collect())
}

/// Maps a range of values to 0 to 255 (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).
#[derive(Debug, Clone, Copy)]
struct Window {
    center: f64,
    width: f64,
    function: VoiLutFunction,
}

impl Window {
    fn new(center: f64, width: f64, function: VoiLutFunction) -> Result<Self> {
        let least = if function == VoiLutFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
        match center.is_finite() && width.is_finite() && width >= least {
            true => Ok(Self { center, width, function }),
            false => Err(format!("has a window of centre {center} and width {width}, which is impossible")),
        }
    }

    fn grey(&self, value: f64) -> u8 {
        let Self { center, width, function } = *self;
        let (center, width) =
            if function == VoiLutFunction::Linear { (center - 0.5, width - 1.0) } else { (center, width) };
        let share = match function {
            VoiLutFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
            _ if value <= center - width / 2.0 => 0.0,
            _ if value > center + width / 2.0 => 1.0,
            _ => (value - center) / width + 0.5,
        };
        (share * 255.0 + 0.5) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greys(center: f64, width: f64, function: VoiLutFunction, values: [f64; 5]) -> [u8; 5] {
        let window = Window::new(center, width, function).expect("possible");
        values.map(|value| window.grey(value))
    }

    #[test]
    fn windows_follow_the_formulas_of_the_standard() {
        // Example of PS3.3 C.11.2.1.2.1: centre 2048 and width 4096 cover 0 to 4095.
        let values = [-1.0, 0.0, 2047.5, 4095.0, 5000.0];
        assert_eq!(greys(2048.0, 4096.0, VoiLutFunction::Linear, values), [0, 0, 128, 255, 255]);
        // Width 1 is a threshold.
        assert_eq!(greys(10.0, 1.0, VoiLutFunction::Linear, [0.0, 9.0, 9.5, 9.6, 10.0]), [0, 0, 0, 255, 255]);
        let exact = greys(10.0, 20.0, VoiLutFunction::LinearExact, [0.0, 5.0, 10.0, 20.0, 21.0]);
        assert_eq!(exact, [0, 64, 128, 255, 255]);
        let soft = greys(10.0, 20.0, VoiLutFunction::Sigmoid, [-90.0, 0.0, 10.0, 20.0, 110.0]);
        assert_eq!(soft, [0, 30, 128, 225, 255]);
    }

    #[test]
    fn a_window_without_width_is_refused() {
        let error = Window::new(40.0, 0.0, VoiLutFunction::Linear).expect_err("impossible");
        assert_eq!(error, "has a window of centre 40 and width 0, which is impossible");
    }
}
