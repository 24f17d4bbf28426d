//! Frames: whole in, whole out; anything else is an error, never a panic or a huge allocation.

#![allow(clippy::unwrap_used, reason = "a test")]

use plugin_api::{
    Array, Data,
    frames::{Frame, Kind},
};
use proptest::prelude::*;

fn arrays() -> impl Strategy<Value = Vec<Array>> {
    let array = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|v| Array { shape: vec![v.len() as u64], data: Data::U8(v) }),
        prop::collection::vec(any::<i64>(), 0..9)
            .prop_map(|v| Array { shape: vec![v.len() as u64, 1], data: Data::I64(v) }),
        prop::collection::vec(-1e30f32..1e30, 0..9)
            .prop_map(|v| Array { shape: vec![1, 1, v.len() as u64], data: Data::F32(v) }),
    ];
    prop::collection::vec(array, 0..4)
}

proptest! {
    #[test]
    fn a_frame_reads_back_as_written(op in "[a-z-]{0,12}", header in ".{0,40}", arrays in arrays()) {
        let frame = Frame::inline(Kind::Event, &op, header, &arrays);
        let mut bytes = Vec::new();
        frame.write(&mut bytes).unwrap();
        let back = Frame::read(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(back.arrays().unwrap(), arrays);
        prop_assert_eq!(back, frame);
    }

    #[test]
    fn a_cut_frame_is_an_error(arrays in arrays(), keep in 0.0..1.0f64) {
        let mut bytes = Vec::new();
        Frame::inline(Kind::Reply, "op", "{}".into(), &arrays).write(&mut bytes).unwrap();
        let cut = (bytes.len() as f64 * keep) as usize;
        prop_assert!(Frame::read(&mut &bytes[..cut]).is_err());
    }

    #[test]
    fn noise_is_an_error_or_a_frame_but_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::read(&mut bytes.as_slice()) {
            let _ = frame.arrays();
        }
    }
}

#[test]
fn a_corrupt_length_is_refused_before_anything_is_allocated() {
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend([0xff; 12]);
    assert!(Frame::read(&mut bytes.as_slice()).unwrap_err().to_string().contains("a frame part of 4294967295 bytes"));
}
