//! Small copies of the diagnosis datasets, each with the files and columns of its publisher.

use integration_tests::{Bench, root};
use npyz::WriterBuilder;

/// Where a copy is made.
pub struct Copy<'a> {
    pub bench: &'a Bench,
    pub id: &'a str,
}

/// What makes the files of a copy.
pub type LayOut = fn(&Copy);

/// Every diagnosis dataset and what lays it out.
pub fn all() -> [(&'static str, LayOut); 13] {
    [
        ("breast-mnist", |copy| medmnist(copy, "breastmnist.npz", &[], 2)),
        ("camelyon17", camelyon17),
        ("chest-xray", chest_xray),
        ("chexpert", chexpert),
        ("chexpert-14", chexpert),
        ("derma-mnist", |copy| medmnist(copy, "dermamnist.npz", &[3], 7)),
        ("drishti", drishti),
        ("gf3300", gf3300),
        ("ham10000", ham10000),
        ("ham10000-7", ham10000),
        ("harvard-fairvlmed10k", harvard_fairvlmed10k),
        ("papila", papila),
        ("pneumonia-mnist", |copy| medmnist(copy, "pneumoniamnist_224.npz", &[], 2)),
    ]
}

impl Copy<'_> {
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.bench.write(&format!("copies/{}/{name}", self.id), content);
    }

    /// An image of its own size and colours, after its name.
    fn image(&self, name: &str) {
        let seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let (width, height) = (9 + seed % 13, 9 + seed / 13 % 11);
        let pixel = |x: u32, y: u32| [0, 1, 2].map(|c| (seed.rotate_left(c * 8 + x / 3) ^ (y * 17)) as u8);
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(x, y)));
        let format = image::ImageFormat::from_path(name).unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        self.write(name, bytes.into_inner());
    }

    fn arrays<T: npyz::AutoSerialize + std::marker::Copy>(&self, name: &str, arrays: &[(&str, Vec<u64>, Vec<T>)]) {
        self.write(name, "");
        let path = self.bench.path(&format!("copies/{}/{name}", self.id));
        let mut archive = npyz::npz::NpzWriter::create(path).unwrap();
        for (name, shape, values) in arrays {
            let writer = archive.array(name, Default::default()).unwrap();
            let mut writer = writer.default_dtype().shape(shape).begin_nd().unwrap();
            writer.extend(values.iter().copied()).unwrap();
            writer.finish().unwrap();
        }
    }
}

fn medmnist(copy: &Copy, file: &str, channels: &[u64], classes: u8) {
    let shape = [&[u64::from(classes) * 2, 28, 28], channels].concat();
    let pixels: Vec<u8> = (0..shape.iter().product::<u64>()).map(|i| (i * 7 / 5 % 251) as u8).collect();
    let labels: Vec<u8> = (0..classes * 2).map(|i| i % classes).collect();
    let arrays = ["train", "val", "test"].map(|split| {
        [
            (format!("{split}_images"), shape.clone(), pixels.clone()),
            (format!("{split}_labels"), vec![u64::from(classes) * 2, 1], labels.clone()),
        ]
    });
    let arrays = arrays.iter().flatten().map(|(name, shape, values)| (name.as_str(), shape.clone(), values.clone()));
    copy.arrays(file, &arrays.collect::<Vec<_>>());
}

fn camelyon17(copy: &Copy) {
    let mut table = String::from(",patient,node,x_coord,y_coord,tumor,slide,center,split\n");
    for i in 0..8 {
        table.push_str(&format!("{i},040,2,{},21792,{},0,2,0\n", 96 * i, i % 2));
        let x = 96 * i;
        copy.image(&format!("patches/patient_040_node_2/patch_patient_040_node_2_x_{x}_y_21792.png"));
    }
    copy.write("metadata.csv", table);
}

fn chest_xray(copy: &Copy) {
    for split in ["train", "val", "test"] {
        for i in 0..3 {
            copy.image(&format!("{split}/NORMAL/IM-000{i}-0001.jpeg"));
            copy.image(&format!("{split}/PNEUMONIA/person{i}_bacteria_{i}.jpeg"));
        }
    }
}

fn chexpert(copy: &Copy) {
    let findings = "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,\
                    Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices";
    let folder = "CheXpert-v1.0-small";
    for split in ["train", "valid"] {
        let mut table = format!("Path,Sex,Age,Frontal/Lateral,AP/PA,{findings}\n");
        for i in 0..6 {
            let path = format!("{folder}/{split}/patient{i:05}/study1/view1_frontal.jpg");
            let labels: Vec<String> = (0..14).map(|label| format!("{}.0", usize::from((i + label) % 3 == 0))).collect();
            table.push_str(&format!("{path},Male,7{i},Frontal,AP,{}\n", labels.join(",")));
            copy.image(&path);
        }
        copy.write(&format!("{folder}/{split}.csv"), table);
    }
}

fn drishti(copy: &Copy) {
    let mut table = String::from("Drishti-GS File,Marking 1,Marking 2,Total,Remark\n");
    for i in 0..8 {
        let truth = if i % 2 == 0 { "Normal" } else { "Glaucomatous " };
        table.push_str(&format!("drishtiGS_{i:03}',Normal,Normal,{truth},\n"));
        let folder = if i < 4 { "Training" } else { "Test" };
        copy.image(&format!("Drishti-GS1_files/Drishti-GS1_files/{folder}/Images/drishtiGS_{i:03}.png"));
    }
    copy.write("Drishti-GS1_diagnosis.csv", table);
}

fn gf3300(copy: &Copy) {
    let mut table = String::from("filename,age,gender,race,glaucoma\n");
    for i in 0..25 {
        let (sex, glaucoma) = (["Female", "Male"][i % 2], ["yes", "no"][i % 3 % 2]);
        table.push_str(&format!("data_{i:04}.npz,{},{sex},Asian,{glaucoma}\n", 60 + i));
        let thickness = (0..20 * 20).map(|p| ((p * (i + 1)) % 353) as f32 - 2.0).collect();
        copy.arrays(&format!("data/data_{i:04}.npz"), &[("rnflt", vec![20, 20], thickness)]);
    }
    copy.write("metadata.csv", table);
}

fn ham10000(copy: &Copy) {
    let kinds = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"];
    let mut table = String::from("lesion_id,image_id,dx,dx_type,age,sex,localization\n");
    for i in 0..140 {
        let (lesion, kind) = (i / 2, kinds[i / 2 % 7]);
        table.push_str(&format!("HAM_{lesion:07},ISIC_{i:07},{kind},histo,57.0,male,back\n"));
        copy.image(&format!("HAM10000_images_part_{}/ISIC_{i:07}.jpg", 1 + i / 70));
    }
    copy.write("HAM10000_metadata.csv", table);
}

fn harvard_fairvlmed10k(copy: &Copy) {
    let uses = [("training", "Training"), ("validation", "Validation"), ("test", "Test")];
    let head = "filename,age,gender,race,ethnicity,language,maritalstatus,note,gpt4_summary,glaucoma,use\n";
    let mut table = String::from(head);
    for i in 0..50 {
        let (sex, glaucoma, (group, folder)) = (["female", "male"][i % 2], ["yes", "no"][i % 4 / 2], uses[i % 3]);
        let row = "asian,non-hispanic,english,married,\"a, note\",g";
        table.push_str(&format!("data_{i:05}.npz,{}.5,{sex},{row},{glaucoma},{group}\n", 35 + i));
        copy.image(&format!("{folder}/slo_fundus_{i:05}.jpg"));
    }
    copy.write("data_summary.csv", table);
}

fn papila(copy: &Copy) {
    for eye in ["od", "os"] {
        let file = format!("patient_data_{eye}.xlsx");
        let bytes = std::fs::read(root().join("host/src/dataset/layouts/fixtures").join(&file)).unwrap();
        copy.write(&format!("ClinicalData/{file}"), bytes);
        (2..42).for_each(|patient| copy.image(&format!("FundusImages/RET{patient:03}{}.jpg", eye.to_uppercase())));
    }
}
