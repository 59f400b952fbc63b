//! A page: one HTML file that needs nothing else, no network and no fonts.

use crate::figure::Figure;
use crate::svg::{STYLE, escape};

/// A report, from the top down.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    lead: String,
    body: String,
}

/// One thing that was asked of a run, and how it came out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was measured: `ack p99`.
    pub name: String,
    /// What came out: `31 ms`.
    pub value: String,
    /// What was asked: `at most 40 ms`.
    pub rule: String,
    /// Whether it was kept.
    pub kept: bool,
}

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The first row; may be empty.
    pub headings: Vec<String>,
    /// All others.
    pub rows: Vec<Vec<String>>,
}

impl Page {
    /// With nothing on it yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            lead: String::new(),
            body: String::new(),
        }
    }

    /// One line under the title: when, where, with what.
    #[must_use]
    pub fn lead(mut self, text: &str) -> Self {
        self.lead = format!("<p class=\"lead\">{}</p>", escape(text));
        self
    }

    /// A heading for what follows.
    #[must_use]
    pub fn heading(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<h2>{}</h2>\n", escape(text)));
        self
    }

    /// Cards with what was asked and what came out.
    #[must_use]
    pub fn verdicts(mut self, verdicts: &[Verdict]) -> Self {
        let cards: String = verdicts.iter().map(card).collect();
        let cards = format!("<div class=\"verdicts\">{cards}</div>\n");
        self.body.push_str(&cards);
        self
    }

    /// A table.
    #[must_use]
    pub fn table(mut self, table: &Table) -> Self {
        let row = |cells: &[String], tag: &str| {
            let cells = cells
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let head = if table.headings.is_empty() {
            String::new()
        } else {
            row(&table.headings, "th")
        };
        let rows: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
        let table = format!("<div class=\"card\"><table>{head}{rows}</table></div>\n");
        self.body.push_str(&table);
        self
    }

    /// A figure, and what is under the pointer.
    #[must_use]
    pub fn figure(mut self, figure: &Figure) -> Self {
        let (svg, readout) = figure.for_page();
        let json = serde_json::to_string(&readout).expect("numbers and text");
        // `</script` would end the script, `<!--<script` would keep its end from being seen.
        let json = json.replace('<', "\\u003c");
        self.body.push_str(&format!(
            "<div class=\"card figure\">{svg}<div class=\"readout\"></div>\
             <script type=\"application/json\">{json}</script></div>\n"
        ));
        self
    }

    /// The whole file.
    pub fn to_html(&self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{}{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>{}\n{}</main>\n<script>\n{}</script>\n</body>\n</html>\n",
            include_str!("page.css"),
            self.lead,
            self.body,
            include_str!("readout.js"),
        )
    }
}

fn card(verdict: &Verdict) -> String {
    let (class, word) = if verdict.kept {
        ("verdict", "✓")
    } else {
        ("verdict broken", "✗")
    };
    format!(
        "<div class=\"{class}\"><div class=\"name\">{}</div><div class=\"value\">{}</div>\
         <div class=\"rule\">{word} {}</div></div>",
        escape(&verdict.name),
        escape(&verdict.value),
        escape(&verdict.rule)
    )
}
