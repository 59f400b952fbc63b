//! Secrets in files encrypted with age (<https://age-encryption.org/v1>), so that no disk and no backup has one in
//! plain text.
//!
//! The identity that opens them comes with the process, in its environment. It is read anew for each file and
//! wiped with it, so that nothing which opens secrets lies in memory between two readings.

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, EncryptError, Encryptor, x25519};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::str::FromStr;

/// The variable with an identity, `AGE-SECRET-KEY-1…`, as `age-keygen` makes it.
pub const AGE_IDENTITY: &str = "SPILLWAY_AGE_IDENTITY";
/// The variable with the path of a file of identities, as `age-keygen` writes it.
pub const AGE_IDENTITY_FILE: &str = "SPILLWAY_AGE_IDENTITY_FILE";

/// A secret or a URL is a line, an identity too: what is larger than this is another file by mistake.
const MAX_BYTES: u64 = 65_536;

/// Whom a file is encrypted for: `age1…`. Whoever has the identity to it can open the file.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text may be an identity pasted by mistake: it is not repeated (I9).
        let told =
            "is no recipient of age, such as age1…; `age-keygen -y` prints that of an identity";
        text.parse().map(Self).map_err(|_| told)
    }
}

/// The text encrypted for all of these, in the armor that a terminal and a repository take.
///
/// # Errors
/// Where there is nobody to encrypt it for.
pub fn encrypt(recipients: &[Recipient], text: &str) -> Result<String, EncryptError> {
    let recipients = recipients.iter().map(|recipient| &recipient.0 as _);
    let encryptor = Encryptor::with_recipients(recipients)?;
    let mut armored = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut armored, Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(text.as_bytes())?;
    writer.finish()?.finish()?;
    Ok(String::from_utf8(armored).expect("armor is ASCII"))
}

/// What is in the file, armored or not; `variable` is the environment.
///
/// # Errors
/// Why it cannot be opened: never with a part of it, nor of an identity (I9).
pub(super) fn open(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, String> {
    // The file first: without one nobody has to think about identities.
    let encrypted = read(path)?;
    let identities = identities(variable)?;
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(encrypted.as_slice()));
    let decryptor = decryptor.map_err(|why| told(&why))?;
    if decryptor.is_scrypt() {
        return Err("it is encrypted with a passphrase, which no program has: encrypt it for a recipient, with `age -r age1…`".to_owned());
    }
    let all = identities.iter().map(|identity| identity as _);
    let mut opened = decryptor.decrypt(all).map_err(|why| told(&why))?;
    // As large as it can become, so that growing leaves no copy behind that nobody wipes.
    let mut text = Zeroizing::new(Vec::with_capacity(encrypted.len()));
    opened
        .read_to_end(&mut text)
        .map_err(|why| told(&why.into()))?;
    let text = std::str::from_utf8(&text).map_err(|_| "what is encrypted in it is not text")?;
    Ok(SecretString::from(text))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|why| why.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "it has more than {MAX_BYTES} bytes, as no secret has"
        ));
    }
    Ok(bytes)
}

/// Several, so that an identity can be replaced like a secret: any of them opens.
fn identities(variable: impl Fn(&str) -> Option<String>) -> Result<Vec<x25519::Identity>, String> {
    let set = |name| variable(name).filter(|value| !value.trim().is_empty());
    let (text, from) = match (set(AGE_IDENTITY), set(AGE_IDENTITY_FILE)) {
        (Some(text), None) => (SecretString::from(text), AGE_IDENTITY.to_owned()),
        (None, Some(path)) => {
            let from = format!("{AGE_IDENTITY_FILE} {path}");
            let bytes = read(Path::new(&path)).map_err(|why| format!("{from}: {why}"))?;
            let bytes = Zeroizing::new(bytes);
            let text = std::str::from_utf8(&bytes).map_err(|_| format!("{from} is not text"))?;
            (SecretString::from(text), from)
        }
        (Some(_), Some(_)) => {
            return Err(format!(
                "{AGE_IDENTITY} and {AGE_IDENTITY_FILE} are both set: one of them says what opens it"
            ));
        }
        (None, None) => {
            return Err(format!(
                "there is no identity to open it with: set {AGE_IDENTITY} (AGE-SECRET-KEY-1…) or {AGE_IDENTITY_FILE}"
            ));
        }
    };
    parse(&text, &from)
}

/// As `age-keygen` writes them: one a line, between comments.
fn parse(text: &SecretString, from: &str) -> Result<Vec<x25519::Identity>, String> {
    let lines = text.expose_secret().lines().map(str::trim).enumerate();
    let written = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(index, line): (usize, &str)| {
        let told = |_| {
            format!(
                "line {} of {from} is no identity AGE-SECRET-KEY-1…",
                index + 1
            )
        };
        line.parse().map_err(told)
    };
    let identities: Vec<_> = written.map(read).collect::<Result<_, _>>()?;
    if identities.is_empty() {
        return Err(format!("{from} has no identity in it"));
    }
    Ok(identities)
}

/// In our words: the library's are for people at a terminal, and in their language.
fn told(why: &DecryptError) -> String {
    match why {
        DecryptError::NoMatchingKeys => "it is encrypted for others: no identity here opens it",
        DecryptError::UnknownFormat | DecryptError::InvalidHeader => {
            "it is not encrypted with age: do so with `age -r age1…`"
        }
        DecryptError::InvalidMac
        | DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed => "it was changed after it was encrypted",
        DecryptError::Io(_) => "it is damaged, or not a whole file of age",
        DecryptError::ExcessiveWork { .. } => "it is encrypted with a passphrase",
        // The library may add some.
        _ => "it cannot be opened",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use std::path::PathBuf;

    /// Made for these tests; it opens nothing else.
    const IDENTITY: &str =
        "AGE-SECRET-KEY-10J6WPCK7N4XHD9MDUVPZRP756X9M74UJW8S44YHDN69H6VRFSQ9QQ6UL98";
    const RECIPIENT: &str = "age1dyxcvmvuj6lt0efqpkjwn3f8g4xcn4eu607p6hlvy25cvl2pmfls2nxjrx";
    const TEXT: &str = "a secret that only a fixture knows";

    /// Written by the reference implementation: `printf '…\n' | age -r age1… -a`, version 1.1.1.
    const ARMORED: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA3MTVWNGx2dDRLWVd6QjhQ
cmhyT0hZckRxb0NvMytDMjg1UU1tUUtoY1VRCkZYR2tuMnYydU1BdWdCalpoNWNz
d0Zad1lrNmhkZEJveldIQUhJeXdtemsKLS0tIFVYWVVIZjVSa2FkTWp5dXFGQWt6
NGp6RE1TdXIwM3B6UlJ3d2QvK3YrN00KDkLfIKe7MKfx6mL7P36JuLq/0T6jbUhr
7ioLrzuFXYralAMiKs/4DOm3tA2NRaujfDs9gtFK4xQrkr/WEwM8r6IAog==
-----END AGE ENCRYPTED FILE-----
";
    /// The same without `-a`.
    const BINARY: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB1Z2tRSS80UmhNRDNqWk5LdlUzMTBjaE1vNFpTeHMwVGJRc3lIVDUxcVQ4CmVjMHZDRURPRlcxMkJlYlNQSEhGdDczZU5XSnVJbmdDSFQvVWVFdndRUUUKLS0tIEp2R09CenFnNUVGN3FRcVJPV2xpaWsxZWhLR0kvMHJteXZ5Ymc5dG1TWHcKRfeuCy3IhfjP+XDnFp0VmmCHg4hpOq4aW3fpjN+rshYv2/aUJXmBn8E701JfmP8QEIkiCr95v1zxzZA2it1JJNkABw==";

    fn in_folder(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.age");
        std::fs::write(&file, content).unwrap();
        (folder, file)
    }

    fn with(name: &'static str, value: impl Into<String>) -> impl Fn(&str) -> Option<String> {
        let value = value.into();
        move |asked| (asked == name).then(|| value.clone())
    }

    /// Why it could not be opened, which repeats nothing.
    fn refusal(content: impl AsRef<[u8]>, variable: impl Fn(&str) -> Option<String>) -> String {
        let (_folder, file) = in_folder(content);
        let why = open(&file, variable).unwrap_err();
        for hidden in [TEXT, IDENTITY, &IDENTITY[..24], "only a fixture"] {
            assert!(!why.contains(hidden), "{why}");
        }
        why
    }

    #[test]
    fn what_the_reference_implementation_has_encrypted_is_opened_armored_or_not() {
        let binary = base64::prelude::BASE64_STANDARD.decode(BINARY).unwrap();
        let (_identities, path) = in_folder(format!("# created: today\n\n{IDENTITY}\n"));
        for content in [ARMORED.as_bytes(), &binary] {
            let (_folder, file) = in_folder(content);
            let by_value = open(&file, with(AGE_IDENTITY, format!(" {IDENTITY}\n"))).unwrap();
            assert_eq!(by_value.expose_secret().trim(), TEXT);
            let path = path.to_str().unwrap();
            let by_file = open(&file, with(AGE_IDENTITY_FILE, path)).unwrap();
            assert_eq!(by_file.expose_secret().trim(), TEXT);
            assert!(!format!("{by_file:?}").contains(TEXT));
        }
    }

    #[test]
    fn what_we_encrypt_is_opened_by_each_recipient_and_by_nobody_else() {
        let (other, stranger) = (x25519::Identity::generate(), x25519::Identity::generate());
        let recipients = [RECIPIENT, &other.to_public().to_string()].map(|text| text.parse());
        let recipients: Vec<_> = recipients.into_iter().map(Result::unwrap).collect();
        let encrypted = encrypt(&recipients, TEXT).unwrap();
        assert!(!encrypted.contains(TEXT));
        let (_folder, file) = in_folder(&encrypted);
        let written = |identity: &x25519::Identity| identity.to_string().expose_secret().to_owned();
        for identity in [IDENTITY.to_owned(), written(&other)] {
            // Any of several opens, wherever it stands.
            let several = format!("{}\n{identity}", written(&stranger));
            let opened = open(&file, with(AGE_IDENTITY, several)).unwrap();
            assert_eq!(opened.expose_secret(), TEXT);
        }
        let why = refusal(&encrypted, with(AGE_IDENTITY, written(&stranger)));
        assert!(why.contains("encrypted for others"), "{why}");
        assert!(encrypt(&[], TEXT).is_err());
    }

    #[test]
    fn without_an_identity_or_with_two_answers_to_where_it_is_nothing_is_opened() {
        let why = refusal(ARMORED, |_| None);
        assert!(
            why.contains(AGE_IDENTITY) && why.contains(AGE_IDENTITY_FILE),
            "{why}"
        );
        assert!(refusal(ARMORED, |_| Some(" ".to_owned())).contains("no identity to open it"));
        assert!(refusal(ARMORED, |_| Some(IDENTITY.to_owned())).contains("both set"));
        let why = refusal(ARMORED, with(AGE_IDENTITY_FILE, "/not/there"));
        assert!(why.contains("/not/there: No such file"), "{why}");
        let why = refusal(ARMORED, with(AGE_IDENTITY, "# nothing but this"));
        assert!(why.contains("has no identity in it"), "{why}");
        // One character lost in copying; another kind of key; what is no text at all.
        let shortened = &IDENTITY[..IDENTITY.len() - 1];
        let why = refusal(ARMORED, with(AGE_IDENTITY, format!("\n{shortened}")));
        assert!(why.starts_with("line 2 of SPILLWAY_AGE_IDENTITY"), "{why}");
        assert!(refusal(ARMORED, with(AGE_IDENTITY, RECIPIENT)).starts_with("line 1"));
        let (_folder, junk) = in_folder([0xff, 0xfe]);
        let why = refusal(ARMORED, with(AGE_IDENTITY_FILE, junk.to_str().unwrap()));
        assert!(why.ends_with("is not text"), "{why}");
    }

    #[test]
    fn what_is_no_whole_file_of_age_is_told_apart() {
        let mine = || with(AGE_IDENTITY, IDENTITY);
        for plain in [TEXT, "AGE", "age-encryption.org/v9\n--- x\n"] {
            let why = refusal(plain, mine());
            assert!(why.contains("age"), "{plain}: {why}");
        }
        assert!(refusal("", mine()).contains("not a whole file"));
        let binary = base64::prelude::BASE64_STANDARD.decode(BINARY).unwrap();
        for length in 1..binary.len() {
            refusal(&binary[..length], mine());
        }
        for index in 0..binary.len() {
            let mut changed = binary.clone();
            changed[index] ^= 1;
            refusal(&changed, mine());
        }
        let lines = || ARMORED.lines();
        for missing in 0..lines().count() {
            let kept = lines().enumerate().filter(|(index, _)| *index != missing);
            let kept: Vec<_> = kept.map(|(_, line)| line).collect();
            refusal(kept.join("\n"), mine());
        }
        assert!(refusal(vec![b'a'; 65_537], mine()).contains("more than 65536 bytes"));
        let recipients = [RECIPIENT.parse().unwrap()];
        let (_folder, file) = in_folder(encrypt(&recipients, "\u{0}").unwrap());
        assert!(open(&file, mine()).is_ok());
    }

    #[test]
    fn a_file_with_a_passphrase_is_told_by_what_it_is() {
        let passphrase = SecretString::from("a passphrase of somebody");
        let mut recipient = age::scrypt::Recipient::new(passphrase);
        // The least work there is: nobody opens this one.
        recipient.set_work_factor(2);
        let encrypted = age::encrypt(&recipient, TEXT.as_bytes()).unwrap();
        let why = refusal(encrypted, with(AGE_IDENTITY, IDENTITY));
        assert!(why.contains("passphrase"), "{why}");
    }

    #[test]
    fn an_identity_given_as_a_recipient_is_refused_and_not_repeated() {
        for text in [IDENTITY, "", "age1", "AGE1DYX"] {
            let Err(why) = text.parse::<Recipient>() else {
                panic!("{text} is taken for a recipient");
            };
            assert!(!why.contains(&IDENTITY[..20]), "{why}");
        }
    }
}
