//! `weir meter`: what weir reads from a captured answer, by the code that reads
//! answers as they pass.

mod report;

use crate::config::{self, Process};
use crate::driver::clock::Clock;
use crate::exchange::cost;
use crate::exchange::prompt::{Prompt, Words};
use crate::policy::Model;
use crate::protocol::answer::{AnswerKind, AnswerReader};
use crate::protocol::inflate::Encoding;
use crate::protocol::request::{self, Wants};
use crate::protocol::{Answer, Dialect, Endpoint, Usage};
use crate::tokens::ratios::Ratio;
use crate::tokens::{Counting, StreamCount, TAIL_BYTES_MAX, Vocabulary};
use anyhow::{Context, anyhow, bail};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The longest random chunk of `--split random`, in bytes.
const CHUNK_BYTES_MAX: usize = 64;

/// Print what weir reads from a captured answer: its model, how it ended, and
/// what it used.
#[derive(Debug, clap::Args)]
pub struct MeterArgs {
    /// Whose form the answer has: openai, azure-openai, deepseek, groq, mistral,
    /// openrouter, together, vllm, xai, anthropic, gemini, vertex, bedrock,
    /// cohere or ollama.
    #[arg(long, value_name = "NAME")]
    dialect: String,
    /// The path that was asked, as in /v1/responses; else the dialect's chat.
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,
    /// The answer's status.
    #[arg(long, value_name = "N", default_value_t = 200)]
    status: u16,
    /// A header of the answer, as in 'content-encoding: gzip'; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body that was sent.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The body that was answered, as it came.
    #[arg(long, value_name = "FILE")]
    response: PathBuf,
    /// Its content type, where no header says it.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Read it in chunks of so many bytes, or of random sizes: the result must
    /// be the same.
    #[arg(long, value_name = "BYTES|random")]
    split: Option<Split>,
    /// A configuration whose prices tell what the call would cost.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The model in that configuration, if not the one that was asked for.
    #[arg(long, value_name = "NAME", requires = "config")]
    model: Option<String>,
    /// Print JSON. Costs are in billionths of a dollar there.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
enum Split {
    Bytes(usize),
    Random,
}

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) if text != "random" => {
                Err("must be a number of bytes above 0, or random".to_owned())
            }
            Ok(bytes) => Ok(Split::Bytes(bytes)),
            Err(_) => Ok(Split::Random),
        }
    }
}

/// All that was read.
struct Metered {
    dialect: &'static str,
    endpoint: &'static str,
    streamed: bool,
    status: u16,
    answer: Answer,
    request_model: Option<String>,
    /// Counted here, by a vocabulary; where the provider says nothing, this is
    /// what counts.
    counted_input_tokens: Option<u64>,
    counted_output_tokens: u64,
    /// By the prices of a configuration.
    cost: Option<cost::Metered>,
}

/// Exit code 0 if the answer could be looked at, whatever it holds, else 1.
pub fn run(args: &MeterArgs) -> ExitCode {
    let printed = metered(args).map(|metered| match args.json {
        true => format!("{:#}\n", report::json(&metered)),
        false => report::text(&metered),
    });
    match printed {
        // Nobody is left to tell where the output is gone.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn metered(args: &MeterArgs) -> anyhow::Result<Metered> {
    let (dialect, endpoint, path_model) = asked(args)?;
    let headers = headers(&args.headers)?;
    let header = |name: &str| {
        let mut named = headers.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    };
    let content_type = header("content-type").or(args.content_type.as_deref());
    let kind = endpoint.answer_kind(content_type.unwrap_or(""));
    let coding = header("content-encoding").unwrap_or("");
    let encoding = Encoding::from_header(coding)
        .with_context(|| format!("content-encoding: {coding:?} is none that weir undoes"))?;
    let mut reader = AnswerReader::new(endpoint.rules(), kind, encoding, false);
    for (name, value) in &headers {
        reader.header(name, value);
    }
    let request = args.request.as_deref().map(read_file).transpose()?;
    let request_model = path_model.clone().or_else(|| model_of(request.as_deref()?));
    let model = priced_model(args, request_model.as_deref())?;
    let words = words(request_model.as_deref(), dialect, model.as_ref());
    let body = read_file(&args.response)?;
    let output = read_whole(&mut reader, chunks(&body, args.split), words);
    let counted_input =
        request.and_then(|body| input_tokens(words, endpoint, path_model.as_deref(), &body));
    let mut metered = Metered {
        dialect: dialect.as_str(),
        endpoint: endpoint.path(),
        streamed: matches!(
            kind,
            AnswerKind::Sse | AnswerKind::JsonStream | AnswerKind::EventStream
        ),
        status: args.status,
        answer: reader.answer().clone(),
        request_model,
        counted_input_tokens: counted_input,
        counted_output_tokens: output,
        cost: None,
    };
    metered.cost = model.and_then(|model| metered.cost_by(&model));
    Ok(metered)
}

/// How the call's model counts, as far as a configuration says.
fn words<'a>(name: Option<&'a str>, dialect: Dialect, model: Option<&Model>) -> Words<'a> {
    let ratio = model.map_or(Ratio::ONE, |model| model.token_ratio.ratio);
    Words {
        model: name.unwrap_or(""),
        dialect,
        vocabulary: model.map_or(Vocabulary::O200kBase, |model| model.vocabulary),
        ratio,
        held_ratio: ratio,
    }
}

/// Reads an answer to its end; the tokens of what it said.
fn read_whole(reader: &mut AnswerReader, chunks: Vec<&[u8]>, words: Words<'_>) -> u64 {
    let counting = Counting::unbounded();
    let mut said = StreamCount::new(words.vocabulary);
    let mut take = |reader: &mut AnswerReader| {
        for (index, part) in reader.take_parts().parts().enumerate() {
            if index > 0 {
                said.cut();
            }
            said.push(part, &counting);
        }
    };
    for chunk in chunks {
        reader.push(chunk, false);
        if reader.text_len() > TAIL_BYTES_MAX {
            take(reader);
        }
    }
    reader.push(&[], true);
    take(reader);
    let counted = said.finish().0.saturating_add(reader.text_dropped_bytes());
    words.ratio.apply(counted)
}

/// The dialect, the endpoint, and the model in the path.
fn asked(args: &MeterArgs) -> anyhow::Result<(Dialect, Endpoint, Option<String>)> {
    let Some(dialect) = Dialect::of_provider(&args.dialect) else {
        let known: Vec<&str> = Dialect::providers().collect();
        bail!(
            "--dialect: there is no {:?}; known are {}",
            args.dialect,
            known.join(", ")
        );
    };
    let Some(path) = &args.endpoint else {
        return Ok((dialect, dialect.usual_endpoint(), None));
    };
    let path = path.split('?').next().unwrap_or("");
    let of_dialect = |(endpoint, _): &(Endpoint, _)| endpoint.dialect() == dialect;
    let Some((endpoint, model)) = Endpoint::of_path(path).filter(of_dialect) else {
        let of_dialect = Endpoint::all().filter(|endpoint| endpoint.dialect() == dialect);
        let known: Vec<&str> = of_dialect.map(Endpoint::path).collect();
        bail!(
            "--endpoint: {path:?} is none of {}'s; known are {}",
            args.dialect,
            known.join(", ")
        );
    };
    Ok((dialect, endpoint, model.map(|model| model.into_owned())))
}

/// Names in lower case.
fn headers(lines: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let header = |line: &String| {
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("--header: {line:?} must be a name, a colon and a value"))?;
        let name = name.trim().to_ascii_lowercase();
        Ok((name, value.trim().to_owned()))
    };
    lines.iter().map(header).collect()
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn model_of(request: &[u8]) -> Option<String> {
    let request: serde_json::Value = serde_json::from_slice(request).ok()?;
    Some(request["model"].as_str()?.to_owned())
}

/// The model whose price and vocabulary count; none without a configuration.
fn priced_model(args: &MeterArgs, asked: Option<&str>) -> anyhow::Result<Option<Model>> {
    let Some(path) = &args.config else {
        return Ok(None);
    };
    let config = config::load_file(path, &Process).map_err(|problems| anyhow!("{problems}"))?;
    let name = args.model.as_deref().or(asked).with_context(
        || "--model: which model's price counts can't be read from the request; name it",
    )?;
    let model = config.snapshot.models.get(name);
    let model = model.with_context(|| format!("{}: there is no model {name:?}", path.display()))?;
    Ok(Some(Model::clone(model)))
}

/// The input of a request that can be read.
fn input_tokens(
    words: Words<'_>,
    endpoint: Endpoint,
    path_model: Option<&str>,
    body: &[u8],
) -> Option<u64> {
    let facts = request::read(endpoint, path_model, body, Wants::default()).ok()?;
    Some(Prompt::of(words, &facts, body, &Counting::unbounded()).tokens)
}

/// The body, cut as asked.
fn chunks(body: &[u8], split: Option<Split>) -> Vec<&[u8]> {
    let random = RandomState::new();
    let mut chunks = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let bytes = match split {
            None => rest.len(),
            Some(Split::Bytes(bytes)) => bytes,
            Some(Split::Random) => {
                let random = random.hash_one(rest.len());
                1 + usize::try_from(random).unwrap_or(0) % CHUNK_BYTES_MAX
            }
        };
        let (chunk, behind) = rest.split_at(bytes.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

impl Metered {
    /// What it costs today by the model's price.
    fn cost_by(&self, model: &Model) -> Option<cost::Metered> {
        let usage = Usage {
            input_tokens: Some(self.input_tokens()?.0),
            output_tokens: Some(self.output_tokens()?.0),
            ..self.answer.usage.unwrap_or_default()
        };
        let now = Clock::start().now();
        cost::of_answer(model, &usage, self.answer.service_tier, now)
    }

    /// The input that counts, and how it is known.
    fn input_tokens(&self) -> Option<(u64, &'static str)> {
        let said = self.answer.usage.and_then(|usage| usage.input_tokens);
        self.counts(said, self.counted_input_tokens)
    }

    /// The output that counts, and how it is known.
    fn output_tokens(&self) -> Option<(u64, &'static str)> {
        let said = self.answer.usage.and_then(|usage| usage.output_tokens);
        let counted = Some(self.counted_output_tokens).filter(|tokens| *tokens > 0);
        self.counts(said, counted)
    }

    /// What the provider said; of an answer that was cut, at least what went by.
    fn counts(&self, said: Option<u64>, counted: Option<u64>) -> Option<(u64, &'static str)> {
        let whole = self.answer.complete && !self.answer.unreadable;
        let more = counted.filter(|counted| said.is_none_or(|said| !whole && *counted > said));
        match more {
            Some(counted) => Some((counted, "counted")),
            None => said.map(|tokens| (tokens, "provider")),
        }
    }
}
