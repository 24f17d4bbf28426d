//! The requests of one call, from their images to the sink.

use std::collections::{HashMap, HashSet};

use blocks::generate::{Answer, Conversation, Decoding, Prompt, generate};
use candle_core::Tensor;
use plugin_api::{Error, Generation, Image, Request, Result, Sink, message::Progress};

use super::{Picture, Reader, Seen, digest, generation, seed, strip};
use crate::convert::input;

/// Pictures whose vectors are kept: neighbouring questions often concern the same image.
const KEPT: usize = 16;

/// Asks for prompts when there is room and hands answers over.
pub struct Session<'a, R> {
    reader: &'a R,
    requests: &'a [Request],
    images: &'a [Image<'a>],
    decoding: &'a Decoding,
    sink: &'a Sink<'a>,
    /// The request that comes next.
    next: usize,
    /// Answered requests.
    done: usize,
    /// What is open, by the place of the request.
    open: HashMap<usize, Open>,
    kept: Kept,
    /// Why the generation was ended from here.
    failure: Option<Error>,
}

struct Open {
    ids: Vec<u32>,
    input: String,
}

/// Pictures and their vectors, by the digest of the image and how many there are in its prompt.
#[derive(Default)]
struct Kept {
    order: Vec<String>,
    pictures: HashMap<String, (Picture, Option<Tensor>)>,
}

impl<'a, R: Reader> Session<'a, R> {
    pub fn new(
        reader: &'a R,
        requests: &'a [Request],
        images: &'a [Image<'a>],
        decoding: &'a Decoding,
        sink: &'a Sink<'a>,
    ) -> Self {
        let (open, kept) = (HashMap::new(), Kept::default());
        Self { reader, requests, images, decoding, sink, next: 0, done: 0, open, kept, failure: None }
    }

    /// The outcome: the failure of a sink goes before what it caused.
    pub fn ended(self, done: blocks::Result<()>) -> Result<()> {
        match self.failure {
            Some(failure) => Err(failure),
            None => done.map_err(input),
        }
    }

    /// Prompts of some requests whose pictures are encoded together; one that cannot be read is answered with the reason.
    fn read(&mut self, places: std::ops::Range<usize>) -> Result<Vec<(usize, Prompt)>> {
        let mut readable = Vec::new();
        for place in places {
            match self.prepare(&self.requests[place]) {
                Ok(digests) => readable.push((place, digests)),
                Err(e) => self.refuse(place, &e)?,
            }
        }
        self.encode(&readable)?;
        let mut prompts = Vec::new();
        for (place, digests) in &readable {
            match self.prompt(*place, digests) {
                Ok(prompt) => prompts.push((*place, prompt)),
                Err(e) => self.refuse(*place, &e)?,
            }
        }
        let used = readable.into_iter().flat_map(|(_, digests)| digests).collect();
        self.kept.forget(&used);
        Ok(prompts)
    }

    /// Digests of the request's images, all of which are prepared then.
    fn prepare(&mut self, request: &Request) -> Result<Vec<String>> {
        let images = images_of(request, self.images)?;
        let mut digests = Vec::with_capacity(images.len());
        for image in &images {
            // A model may look at an image more closely where it is alone.
            let digest = plugin_api::digest(image.rgb);
            let key = format!("{} of {}x{} {digest}", images.len(), image.width, image.height);
            if !self.kept.pictures.contains_key(&key) {
                self.kept.pictures.insert(key.clone(), (self.reader.prepare_among(image, images.len())?, None));
                self.kept.order.push(key.clone());
            }
            digests.push(key);
        }
        Ok(digests)
    }

    fn encode(&mut self, readable: &[(usize, Vec<String>)]) -> Result<()> {
        let mut seen = HashSet::new();
        let new: Vec<&String> = readable.iter().flat_map(|(_, digests)| digests).collect();
        let new = new.into_iter().filter(|key| self.kept.pictures[*key].1.is_none() && seen.insert(*key));
        let new: Vec<&String> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let pictures: Vec<&Picture> = new.iter().map(|key| &self.kept.pictures[*key].0).collect();
        let vectors = self.reader.encode(&pictures).map_err(input)?;
        for (key, vectors) in new.into_iter().zip(vectors) {
            if let Some((_, encoded)) = self.kept.pictures.get_mut(key) {
                *encoded = Some(vectors);
            }
        }
        Ok(())
    }

    fn prompt(&mut self, place: usize, digests: &[String]) -> Result<Prompt> {
        let request = &self.requests[place];
        let pictures = digests.iter().filter_map(|key| {
            let (picture, vectors) = &self.kept.pictures[key];
            vectors.as_ref().map(|vectors| Seen { picture, vectors })
        });
        let pictures: Vec<Seen<'_>> = pictures.collect();
        let mut prompt = self.reader.prompt(&request.prompt, request.raw, &pictures)?;
        let input = digest(&pictures, prompt.asked())?;
        prompt.seed = seed(&input);
        self.open.insert(place, Open { ids: prompt.asked().to_vec(), input });
        Ok(prompt)
    }

    fn refuse(&mut self, place: usize, e: &Error) -> Result<()> {
        self.done += 1;
        self.sink.finished(&Generation {
            index: self.requests[place].index,
            finish: "error".into(),
            error: Some(e.to_string()),
            ..Generation::default()
        })
    }

    fn hand_over(&mut self, place: usize, answer: &Answer) -> Result<()> {
        let Open { ids, input } = self.open.remove(&place).ok_or_else(|| Error::input("an answer came twice"))?;
        let text = text(self.reader, &ids, answer, self.decoding)?;
        self.done += 1;
        let generation = generation(self.requests[place].index, text, &ids, answer);
        self.sink.finished(&Generation { input, ..generation })
    }

    /// Keeps a failure, which ends the generation.
    fn note<T>(&mut self, outcome: Result<T>) -> blocks::Result<T> {
        outcome.map_err(|e| {
            let message = e.to_string();
            self.failure = Some(e);
            blocks::Error::Setting(message)
        })
    }
}

impl<R: Reader> Conversation for Session<'_, R> {
    fn prompts(&mut self, room: usize) -> blocks::Result<Vec<(usize, Prompt)>> {
        // Requests that cannot be read make room for others.
        while self.next < self.requests.len() {
            let places = self.next..self.requests.len().min(self.next + room);
            self.next = places.end;
            let prompts = self.read(places);
            let prompts = self.note(prompts)?;
            if !prompts.is_empty() {
                return Ok(prompts);
            }
        }
        Ok(Vec::new())
    }

    fn text(&self, ids: &[u32]) -> blocks::Result<String> {
        self.reader.text(ids)
    }

    fn answer(&mut self, key: usize, answer: Answer) -> blocks::Result<()> {
        let outcome = self.hand_over(key, &answer);
        self.note(outcome)
    }

    fn step(&mut self) -> blocks::Result<()> {
        let progress = Progress { done: self.done as u64, total: self.requests.len() as u64, loss: None };
        let outcome = self.sink.progress(&progress);
        self.note(outcome)
    }
}

impl Kept {
    /// Drops the oldest pictures but those that were just used, until few enough are left.
    fn forget(&mut self, used: &HashSet<String>) {
        let mut surplus = self.order.len().saturating_sub(KEPT);
        self.order.retain(|key| {
            let drop = surplus > 0 && !used.contains(key);
            if drop {
                surplus -= 1;
                self.pictures.remove(key);
            }
            !drop
        });
    }
}

/// The images that a request names.
pub fn images_of<'a>(request: &Request, images: &'a [Image<'a>]) -> Result<Vec<&'a Image<'a>>> {
    let of = |&at: &u32| {
        let missing = || Error::input(format!("image {at} was asked for, but {} were given", images.len()));
        images.get(at as usize).ok_or_else(missing)
    };
    request.images.iter().map(of).collect()
}

/// The answer to one prompt, with all ids.
pub fn answer_one<R: Reader>(reader: &R, prompt: Prompt, decoding: &Decoding) -> Result<(Answer, Generation)> {
    let ids = prompt.asked().to_vec();
    let mut alone = Alone { reader, prompt: Some(prompt), answer: None };
    generate(reader.decoder(), &Decoding { slots: 1, ..decoding.clone() }, &mut alone).map_err(input)?;
    let answer = alone.answer.ok_or_else(|| Error::input("the prompt was not answered"))?;
    let text = text(reader, &ids, &answer, decoding)?;
    let generation = generation(0, text, &ids, &answer);
    Ok((answer.clone(), Generation { prompt_ids: ids, generated_ids: answer.ids, ..generation }))
}

/// One prompt without a sink.
struct Alone<'a, R> {
    reader: &'a R,
    prompt: Option<Prompt>,
    answer: Option<Answer>,
}

impl<R: Reader> Conversation for Alone<'_, R> {
    fn prompts(&mut self, _: usize) -> blocks::Result<Vec<(usize, Prompt)>> {
        Ok(self.prompt.take().map(|prompt| (0, prompt)).into_iter().collect())
    }

    fn text(&self, ids: &[u32]) -> blocks::Result<String> {
        self.reader.text(ids)
    }

    fn answer(&mut self, _: usize, answer: Answer) -> blocks::Result<()> {
        self.answer = Some(answer);
        Ok(())
    }
}

/// The text of an answer up to the string that ended it.
fn text<R: Reader>(reader: &R, asked: &[u32], answer: &Answer, decoding: &Decoding) -> Result<String> {
    let text = reader.told(asked, &answer.ids).map_err(input)?;
    let end = decoding.stop.iter().filter_map(|stop| text.find(stop)).min();
    Ok(end.map_or(text.as_str(), |end| strip(&text[..end])).to_string())
}
