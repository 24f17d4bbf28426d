//! A signature beside an archive, as minisign makes and checks them (Ed25519 over BLAKE2b).

use std::{fs::File, path::Path};

use minisign::{PublicKey, PublicKeyBox, SecretKeyBox, SignatureBox};

use crate::error::{Error, Result};

/// What is added to the name of the archive.
pub const SIGNATURE: &str = ".minisig";

/// Signs a file with a minisign secret key; returns the text of the signature. `password` is asked for only where the key
/// has one.
///
/// # Errors
/// The key cannot be read, is none, or does not open with the password.
pub fn sign(file: &Path, key: &Path, comment: &str, password: impl FnOnce() -> Result<String>) -> Result<String> {
    let text = std::fs::read_to_string(key).map_err(Error::io(key))?;
    let sealed =
        |text: &str| SecretKeyBox::from_string(text).map_err(|_| Error::invalid(key, "no minisign secret key"));
    let key = match sealed(&text)?.into_unencrypted_secret_key() {
        Ok(open) => open,
        Err(_) => sealed(&text)?
            .into_secret_key(Some(password()?))
            .map_err(|_| Error::invalid(key, "the key does not open with this password"))?,
    };
    let data = File::open(file).map_err(Error::io(file))?;
    let failed = |e: minisign::PError| Error::failed(format!("cannot sign {}: {e}", file.display()));
    let signed = minisign::sign(None, &key, data, Some(comment), Some("signature of a medvlm submission"));
    Ok(signed.map_err(failed)?.into_string())
}

/// What is wrong with the signature of a file by a public key, which is the text of a key or of a key file; nothing, and the
/// trusted comment, where it holds.
///
/// # Errors
/// The key is none.
pub fn check(file: &Path, signature: &Path, key: &str) -> Result<std::result::Result<String, String>> {
    let key = public_key(key)?;
    let Ok(text) = std::fs::read_to_string(signature) else {
        return Ok(Err(format!("{} is missing or no text", signature.display())));
    };
    let Ok(signed) = SignatureBox::from_string(&text) else {
        return Ok(Err(format!("{} is no minisign signature", signature.display())));
    };
    let data = File::open(file).map_err(Error::io(file))?;
    if minisign::verify(&key, &signed, data, true, false, false).is_err() {
        return Ok(Err("the signature is not one of this file by this key".into()));
    }
    Ok(Ok(signed.trusted_comment().unwrap_or_default()))
}

fn public_key(text: &str) -> Result<PublicKey> {
    let boxed = PublicKeyBox::from_string(text).ok().and_then(|boxed| boxed.into_public_key().ok());
    boxed
        .or_else(|| PublicKey::from_base64(text.trim()).ok())
        .ok_or_else(|| Error::usage("--key: neither a minisign public key nor the file of one"))
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    #[test]
    fn a_signature_holds_for_its_file_and_key_alone() {
        let dir = tempfile::tempdir().expect("directory");
        let (file, key, signature) =
            (dir.path().join("a.zip"), dir.path().join("key"), dir.path().join("a.zip.minisig"));
        std::fs::write(&file, "content").expect("written");
        let pair = |password: Option<&str>| match password {
            Some(password) => KeyPair::generate_encrypted_keypair(Some(password.into())).expect("a pair"),
            None => KeyPair::generate_unencrypted_keypair().expect("a pair"),
        };
        let (plain, other) = (pair(None), pair(None));
        std::fs::write(&key, plain.sk.to_box(None).expect("boxed").into_string()).expect("written");
        let unasked = || -> Result<String> { panic!("the key has no password") };
        std::fs::write(&signature, sign(&file, &key, "by us", unasked).expect("signed")).expect("written");
        let whole = plain.pk.to_box().expect("boxed").into_string();
        assert_eq!(check(&file, &signature, &whole).expect("a key"), Ok("by us".into()));
        assert_eq!(check(&file, &signature, &plain.pk.to_base64()).expect("a key"), Ok("by us".into()));
        assert!(check(&file, &signature, &other.pk.to_base64()).expect("a key").is_err());
        std::fs::write(&file, "Content").expect("written");
        assert!(check(&file, &signature, &whole).expect("a key").is_err());
        assert!(check(&file, &key, &whole).expect("a key").expect_err("none").ends_with("is no minisign signature"));
        assert!(check(&file, &signature, "no key").is_err());
    }

    #[test]
    fn a_key_with_a_password_opens_with_it_alone() {
        let dir = tempfile::tempdir().expect("directory");
        let (file, key) = (dir.path().join("a.zip"), dir.path().join("key"));
        std::fs::write(&file, "content").expect("written");
        let pair = KeyPair::generate_encrypted_keypair(Some("open sesame".into())).expect("a pair");
        std::fs::write(&key, pair.sk.to_box(None).expect("boxed").into_string()).expect("written");
        assert!(sign(&file, &key, "", || Ok("open sesame".into())).is_ok());
        let error = sign(&file, &key, "", || Ok("open barley".into())).expect_err("refused").to_string();
        assert!(error.ends_with("the key does not open with this password"), "{error}");
    }
}
