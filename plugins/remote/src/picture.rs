//! Pixels as a data URL: PNG, so that the endpoint decodes what the host decoded.

use base64::{Engine, prelude::BASE64_STANDARD};
use plugin_api::{Error, Image, Result};
use png::{BitDepth, ColorType, Compression, Encoder};

/// `data:image/png;base64,…` of an RGB8 image.
pub fn data_url(image: &Image<'_>) -> Result<String> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(image.rgb)?;
        writer.finish()
    });
    written.map_err(|e| Error::input(format!("an image of {}x{} makes no PNG: {e}", image.width, image.height)))?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_comes_back() {
        let (width, height) = (13, 7);
        let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        let url = data_url(&Image { width, height, rgb: &rgb }).expect("encodes");
        let png = BASE64_STANDARD.decode(url.strip_prefix("data:image/png;base64,").expect("a URL")).expect("base64");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!((info.width, info.height, info.color_type), (width, height, ColorType::Rgb));
        assert_eq!(pixels, rgb);
        assert!(data_url(&Image { width: 2, height: 2, rgb: &rgb[..5] }).is_err());
    }
}
