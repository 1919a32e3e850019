//! A headless Chromium, spoken to by its own protocol (DevTools) over a pair of named pipes.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::running::wait;

/// How long anything in the browser may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one page. Dropped, it is closed.
pub struct Chromium {
    child: Child,
    orders: File,
    messages: Receiver<Value>,
    last_id: u64,
    session: String,
    /// What the page complained about since it was asked last.
    errors: Vec<String>,
}

impl Chromium {
    /// Starts a browser that keeps its things in `dir`.
    pub fn start(dir: &Path) -> Chromium {
        let there = Command::new("chromium").arg("--version").output();
        assert!(there.is_ok(), "chromium is not installed; JANGBU_SKIP_BROWSER=1 goes on without it");
        let (to, from) = (dir.join("to"), dir.join("from"));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        let script = "exec chromium --headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe \
                      --user-data-dir=\"$1\" about:blank 3<\"$2\" 4>\"$3\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .args([&dir.join("profile"), &to, &from])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = File::options().write(true).open(&to).unwrap();
        let said = BufReader::new(File::open(&from).unwrap());
        let (hear, messages) = channel();
        std::thread::spawn(move || {
            for message in said.split(0).map_while(Result::ok) {
                let _ = hear.send(serde_json::from_slice(&message).unwrap()); // nobody listens any more
            }
        });
        let mut browser = Chromium { child, orders, messages, last_id: 0, session: String::new(), errors: Vec::new() };
        let target = browser.order("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.order("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.order(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Orders something and waits for what comes of it.
    pub fn order(&mut self, method: &str, params: &Value) -> Value {
        let message = self.answer(method, params);
        assert!(message["error"].is_null(), "{method} {params}: {message}");
        message["result"].clone()
    }

    fn answer(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.orders.write_all(message.to_string().as_bytes()).unwrap();
        self.orders.write_all(b"\0").unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == self.last_id {
                return message;
            }
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Value) {
        let entry = &message["params"]["entry"];
        if message["method"] == "Log.entryAdded" && entry["level"] == "error" {
            self.errors.push(format!("{} {}", entry["text"], entry["url"]));
        }
        if message["method"] == "Runtime.exceptionThrown" {
            self.errors.push(message["params"]["exceptionDetails"].to_string());
        }
    }

    /// What the page complained about.
    pub fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    /// Goes to an address.
    pub fn go(&mut self, url: &str) {
        self.value("window.left = true"); // so that the page left behind is not taken for the new one
        let went = self.order("Page.navigate", &json!({"url": url}));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.until("document.readyState === 'complete' && !window.left");
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        self.asked(expression).unwrap_or_else(|why| panic!("{expression}: {why}"))
    }

    /// The same, or why there is none: a page that is just being left has no values.
    fn asked(&mut self, expression: &str) -> Result<Value, String> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let message = self.answer("Runtime.evaluate", &params);
        let got = &message["result"];
        let good = message["error"].is_null() && got["exceptionDetails"].is_null();
        good.then(|| got["result"]["value"].clone()).ok_or_else(|| message.to_string())
    }

    /// The text of an element, as a reader sees it.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({selector:?})?.innerText ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    /// Waits until an expression in the page is true.
    pub fn until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.asked(expression) != Ok(json!(true)) {
            if Instant::now() > until {
                panic!("it never came that {expression}; the page says: {}", self.text("body"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes the window so wide and the system light or dark; nothing moves.
    pub fn dress(&mut self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.order("Emulation.setDeviceMetricsOverride", &size);
        let feature = |name: &str, value: &str| json!({"name": name, "value": value});
        let features = [feature("prefers-color-scheme", scheme), feature("prefers-reduced-motion", "reduce")];
        self.order("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Keeps a picture of the whole page where `JANGBU_PICTURES` says, for people to look at.
    pub fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("JANGBU_PICTURES") else { return };
        let taken = self.order("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let bytes = base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&dir).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.orders.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0"); // it may be gone already
        let _ = wait(&mut self.child);
    }
}
