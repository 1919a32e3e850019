//! Forms as browsers send them.

/// A form's names and values, decoded, in order; what can't be decoded is left out.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body or a query.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Form {
        let pairs = bytes.split(|byte| *byte == b'&').filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            Some((decoded(&pair[..at])?, decoded(&pair[at + 1..])?))
        });
        Form(pairs.collect())
    }

    /// A value; the first of its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value without blanks around it; empty when there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("").trim()
    }
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|d| char::from(*d).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let get = |form: &str| Form::read(form.as_bytes()).get("token").map(str::to_owned);
        assert_eq!(get("a=1&token=x%2Ey+z%0D%0A&token=2"), Some("x.y z\r\n".to_owned()));
        assert_eq!(get("token="), Some(String::new()));
        for bad in ["", "tokens=1", "token=%", "token=%4", "token=%zz", "token=%ff"] {
            assert_eq!(get(bad), None, "{bad}");
        }
        assert_eq!(Form::read(b"a=+1+&b=2").text("a"), "1");
        assert_eq!(Form::read(b"USD.mid=1%2C2").text("USD.mid"), "1,2");
    }
}
