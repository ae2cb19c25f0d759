//! The log: what happens while a command works, as events of `tracing`. One layer writes them as lines for people or as JSON;
//! each line says of which run, job, interval and stage it is. What is written goes through `output`, like everything else.

use std::io::IsTerminal;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::{Error, Result};
use crate::output;
use crate::project::secrets::redact;

/// What the log says, as `RUST_LOG` is written.
const VARIABLE: &str = "DAYMILL_LOG";

/// What every line says first, in this order.
const CONTEXT: [&str; 4] = ["run", "job", "interval", "stage"];

/// How much is said.
#[derive(Clone, Copy, Debug)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// 0 is what a log needs; 1 what each stage does; 2 every batch, and what the libraries say.
    More(u8),
}

/// Begins to write the log. The flags go before the environment.
pub fn start(json: bool, verbosity: Verbosity) -> Result<()> {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let directives = match (verbosity, asked) {
        (Verbosity::Quiet, _) => "off,daymill=warn".to_owned(),
        (Verbosity::More(0), Some(asked)) => asked,
        (Verbosity::More(0), None) => "off,daymill=info".to_owned(),
        (Verbosity::More(1), _) => "off,daymill=debug".to_owned(),
        (Verbosity::More(_), _) => "debug,daymill=trace".to_owned(),
    };
    let filter = EnvFilter::builder().parse(&directives).map_err(|e| {
        Error::config(format!("the environment variable {VARIABLE} is {directives:?}, which cannot be read"))
            .cause(e)
            .hint("as in DAYMILL_LOG=debug or DAYMILL_LOG=daymill=debug,sqlx=info")
    })?;
    let short = !json && std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::registry().with(Lines { json, short }.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber).map_err(|e| Error::defect("the log was begun twice").cause(e))
}

/// Names and values of an event or a span.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        // Before anything is quoted, in which a secret would look like something else.
        let value = value.as_str().map(redact).map_or(value, Value::from);
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }
}

struct Lines {
    json: bool,
    /// A person is looking: no times, and of which run it is goes without saying.
    short: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let message = own.0.remove("message").and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
        let mut of_spans = Map::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                let new = fields.0.iter().filter(|(name, value)| !of_spans.contains_key(*name) && *value != "");
                let new: Vec<(String, Value)> = new.map(|(name, value)| (name.clone(), value.clone())).collect();
                of_spans.extend(new);
            }
        }
        let level = *event.metadata().level();
        match self.json {
            true => self.as_json(level, &message, of_spans, own.0),
            false => self.as_text(level, &message, &of_spans, &own.0),
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

impl Lines {
    fn as_json(&self, level: Level, message: &str, mut of_spans: Map<String, Value>, own: Map<String, Value>) {
        let mut line = json!({ "time": output::now(), "level": name(level), "message": message });
        for key in CONTEXT {
            if let Some(value) = of_spans.remove(key) {
                line[key] = value;
            }
        }
        of_spans.into_iter().chain(own).for_each(|(key, value)| line[key] = value);
        output::event(line);
    }

    fn as_text(&self, level: Level, message: &str, of_spans: &Map<String, Value>, own: &Map<String, Value>) {
        let shown = |(name, value): (&String, &Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let plain = !text.is_empty() && !text.contains([' ', '"', '=']);
            if plain { format!("{name}={}", output::line(&text)) } else { format!("{name}={:?}", output::line(&text)) }
        };
        let mut text = output::levelled(name(level), &output::line(message));
        // What an event of a level that is always shown has to say is in its message.
        let details = own.iter().filter(|_| level >= Level::DEBUG);
        let context = CONTEXT.iter().filter_map(|key| of_spans.get_key_value(*key)).filter(|_| !self.short);
        for pair in details.chain(context) {
            text.push(' ');
            text.push_str(&shown(pair));
        }
        match self.short && level <= Level::INFO {
            true => output::said(&text),
            false => output::said(&format!("{} {text}", output::now())),
        }
    }
}
