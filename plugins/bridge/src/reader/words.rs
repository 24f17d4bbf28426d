//! Questions as conversations, and texts as ids.

use blocks::{
    Result,
    chat::{ChatTemplate, Content, Message, Part},
    tokens::LanguageTokenizer,
};

/// A question on `images` images, as the user's turn of a conversation. Where the template takes no parts, `mark` is
/// written for each image before the question.
///
/// # Errors
/// The template refuses it.
pub fn ask(template: &ChatTemplate, mark: &str, question: &str, images: usize) -> Result<String> {
    let content = match template.takes_parts() {
        true => {
            let mut parts = vec![Part::Image; images];
            parts.push(Part::Text { text: question.to_string() });
            Content::Parts(parts)
        }
        false => Content::Text(format!("{}{question}", mark.repeat(images))),
    };
    template.render(&[Message { role: "user".into(), content }], true)
}

/// Ids of a text from its beginning on, which is not put before it where the text spells it out.
///
/// # Errors
/// The tokenizer refuses the text.
pub fn beginning(tokenizer: &LanguageTokenizer, text: &str) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(text, false)?;
    match ids.first().is_some_and(|id| Some(*id) == tokenizer.bos()) {
        true => Ok(ids),
        false => tokenizer.encode(text, true),
    }
}
