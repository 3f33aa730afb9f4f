//! Content by CID under `/ipfs`: files for browsers, blocks and CARs for clients that trust nobody.
//!
//! Without a format the answer is the bytes of the UnixFS file, ranges included; encrypted files are just bytes. With
//! `format=raw` or `format=car`, or the media type of one of them in `Accept`, it is the block or the DAG itself
//! (IPFS specifications, "Trustless Gateway" and "Path Gateway"). Query parameters of other gateways are ignored.
//! Paths below a CID are not resolved. Content comes from anybody, and shares its origin with our own pages: it is never executed, only shown or saved.

mod format;
mod name;
mod range;

use crate::api::{Binary, Problems};
use crate::app::App;
use crate::extract::{Named, Parameters};
use crate::problem::{ProblemResponse, Reply, range_not_satisfiable};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cid::Cid;
use format::Format;
use futures::stream;
use protocol::content::RAW;
use range::Asked;
use std::io;
use std::ops::Range;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What a CID names never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=29030400, immutable");
/// A page made of content can do nothing: no scripts, no forms, an origin of its own.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'",
);
const RAW_TYPE: &str = "application/vnd.ipld.raw";
const CAR_TYPE: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";
/// Multihash code of content that is its own name.
const IDENTITY: u64 = 0;
/// Asks a backend for the size of a file and no bytes of it.
const NOTHING: Range<u64> = 0..0;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_content, head_content))
}

#[utoipa::path(get, path = "/ipfs/{cid}", tag = "ipfs", summary = "A file, a block or a DAG",
    params(("cid" = String, Path, description = "CID"),
        ("format" = Option<String>, Query, description = "`raw` for the block, `car` for the DAG; the file if absent. It wins over Accept"),
        ("filename" = Option<String>, Query, description = "Name to save the file under; its extension decides the type of the answer"),
        ("download" = Option<bool>, Query, description = "`true` to have browsers save the file"),
        ("dag-scope" = Option<String>, Query, description = "Of a CAR: `all`"),
        ("car-version" = Option<u64>, Query, description = "Of a CAR: 1"),
        ("car-order" = Option<String>, Query, description = "Of a CAR: `dfs` or `unk`"),
        ("car-dups" = Option<String>, Query, description = "Of a CAR: `n`"),
        ("accept" = Option<String>, Header, description = "application/vnd.ipld.raw or application/vnd.ipld.car"),
        ("range" = Option<String>, Header, description = "One range of bytes of a file; several are answered with the whole"),
        ("if-none-match" = Option<String>, Header, description = "Entity tags that the client holds")),
    responses(
        (status = 200, description = "The content", content(
            (inline(Binary) = "application/octet-stream"), (inline(Binary) = "application/vnd.ipld.raw"), (inline(Binary) = "application/vnd.ipld.car"))),
        (status = 206, description = "The range of the file", body = inline(Binary), content_type = "application/octet-stream"),
        (status = 304, description = "The client holds it already"),
        Problems))]
pub(crate) async fn get_content(
    State(app): State<App>,
    Named(cid): Named<Cid>,
    query: Parameters,
    headers: HeaderMap,
) -> Reply<Response> {
    Content::new(app, cid, query, headers, false)?.answer().await
}

#[utoipa::path(head, path = "/ipfs/{cid}", tag = "ipfs", summary = "Whether content is there, and how long it is",
    description = "Takes the parameters of GET.",
    params(("cid" = String, Path, description = "CID")),
    responses((status = 200, description = "It is there"), (status = 304, description = "The client holds it already"),
        Problems))]
pub(crate) async fn head_content(
    State(app): State<App>,
    Named(cid): Named<Cid>,
    query: Parameters,
    headers: HeaderMap,
) -> Reply<Response> {
    Content::new(app, cid, query, headers, true)?.answer().await
}

/// One request for content, understood.
struct Content {
    app: App,
    cid: Cid,
    query: Parameters,
    headers: HeaderMap,
    format: Format,
    head: bool,
}

impl Content {
    fn new(app: App, cid: Cid, query: Parameters, headers: HeaderMap, head: bool) -> Reply<Self> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let format = format::choose(&query, accept)?;
        Ok(Self { app, cid, query, headers, format, head })
    }

    async fn answer(self) -> Reply<Response> {
        if self.is_held() {
            return Ok(self.decorate(StatusCode::NOT_MODIFIED.into_response()));
        }
        let response = match self.format {
            Format::File => self.file().await?,
            Format::Raw => self.raw().await?,
            Format::Car => self.car().await?,
        };
        Ok(self.decorate(response))
    }

    /// The bytes of a file, or a range of them.
    async fn file(&self) -> Reply<Response> {
        if self.head {
            let size = self.size().await?;
            return Ok(self.sized(StatusCode::OK, size, Body::empty()));
        }
        match self.range() {
            Some((text, asked)) => self.part(&text, asked).await,
            None => {
                let (size, body) = self.bytes(None).await?;
                Ok(self.sized(StatusCode::OK, size, body))
            }
        }
    }

    async fn part(&self, text: &str, asked: Asked) -> Reply<Response> {
        let size = self.size().await?;
        let Some(range) = asked.within(size) else {
            let problem = ProblemResponse(range_not_satisfiable(text, size));
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{size}"))], problem).into_response());
        };
        let (_, body) = self.bytes(Some(range.clone())).await?;
        let mut response = self.sized(StatusCode::PARTIAL_CONTENT, range.end - range.start, body);
        let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        response.headers_mut().insert(header::CONTENT_RANGE, text_value(&value));
        Ok(response)
    }

    async fn size(&self) -> Reply<u64> {
        Ok(self.bytes(Some(NOTHING)).await?.0)
    }

    async fn bytes(&self, range: Option<Range<u64>>) -> Reply<(u64, Body)> {
        if let Some(inline) = inline(&self.cid).filter(|_| self.cid.codec() == RAW) {
            let size = inline.len() as u64;
            let Range { start, end } = range.unwrap_or(0..size);
            let within = |n: u64| usize::try_from(n.min(size)).expect("not above the length of a slice");
            return Ok((size, inline.slice(within(start)..within(end)).into()));
        }
        let file = self.app.backend.unixfs(self.cid, range).await?;
        Ok((file.size, Body::from_stream(file.stream)))
    }

    fn sized(&self, status: StatusCode, length: u64, body: Body) -> Response {
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(name::media_type(self.query.get("filename"))));
        response
    }

    /// One block.
    async fn raw(&self) -> Reply<Response> {
        let block = self.block().await?;
        let length = block.len() as u64;
        let body = if self.head { Body::empty() } else { block.into() };
        Ok(([(header::CONTENT_TYPE, RAW_TYPE)], [(header::CONTENT_LENGTH, length)], body).into_response())
    }

    /// The whole DAG. Its length is not known before it is walked.
    async fn car(&self) -> Reply<Response> {
        let body = if self.head {
            self.block().await?;
            // Not an empty body, whose length would be told.
            Body::from_stream(stream::empty::<io::Result<Bytes>>())
        } else {
            Body::from_stream(self.app.backend.car(self.cid).await?)
        };
        let headers = [(header::CONTENT_TYPE, CAR_TYPE), (header::ACCEPT_RANGES, "none")];
        Ok((headers, body).into_response())
    }

    async fn block(&self) -> Reply<Bytes> {
        match inline(&self.cid) {
            Some(bytes) => Ok(bytes),
            None => Ok(self.app.backend.block(self.cid).await?),
        }
    }

    /// What the client asks a part of, if it may have a part.
    fn range(&self) -> Option<(String, Asked)> {
        let text = self.headers.get(header::RANGE)?.to_str().ok()?;
        let unchanged = self.headers.get(header::IF_RANGE).is_none_or(|tag| tag.as_bytes() == self.etag().as_bytes());
        let asked = range::read(text).filter(|_| unchanged)?;
        Some((text.to_owned(), asked))
    }

    fn is_held(&self) -> bool {
        let etag = self.etag();
        let ours = etag.trim_start_matches("W/");
        let values = self.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == ours)
    }

    /// The tag of a CAR is weak: other gateways may order its blocks otherwise.
    fn etag(&self) -> String {
        match self.format {
            Format::File => format!("\"{}\"", self.cid),
            Format::Raw => format!("\"{}.raw\"", self.cid),
            Format::Car => format!("W/\"{}.car\"", self.cid),
        }
    }

    fn decorate(&self, mut response: Response) -> Response {
        let is_error = response.status().is_client_error();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(HeaderName::from_static("x-ipfs-path"), text_value(&format!("/ipfs/{}", self.cid)));
        if is_error {
            return response;
        }
        headers.insert(header::ETAG, text_value(&self.etag()));
        headers.insert(header::CACHE_CONTROL, FOREVER);
        headers.insert(HeaderName::from_static("x-ipfs-roots"), text_value(&self.cid.to_string()));
        headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
        if let Some(disposition) = self.disposition() {
            headers.insert(header::CONTENT_DISPOSITION, text_value(&disposition));
        }
        response
    }

    fn disposition(&self) -> Option<String> {
        let given = self.query.get("filename");
        let download = self.query.get("download") == Some("true");
        match self.format {
            Format::File => name::disposition(given, download),
            Format::Raw => name::disposition(Some(given.unwrap_or(&format!("{}.bin", self.cid))), true),
            Format::Car => name::disposition(Some(given.unwrap_or(&format!("{}.car", self.cid))), true),
        }
    }
}

/// The bytes inside a CID that is its own content.
fn inline(cid: &Cid) -> Option<Bytes> {
    (cid.hash().code() == IDENTITY).then(|| Bytes::copy_from_slice(cid.hash().digest()))
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of visible ASCII")
}
