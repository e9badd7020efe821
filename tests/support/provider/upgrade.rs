//! Connections that become something else: a WebSocket here sends back every
//! byte that it gets, until its client leaves or says `bye`.

use super::{Body, Provider, Received};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub fn is_asked(request: &Request<Incoming>) -> bool {
    request.headers().contains_key("upgrade")
}

impl Provider {
    pub(super) fn upgraded(&self, mut request: Request<Incoming>) -> Response<Body> {
        let on = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let mut received = Received::new(&head, Bytes::new());
        received.status = 101;
        let index = {
            let mut log = self.log.lock().unwrap();
            log.push(received);
            log.len() - 1
        };
        let provider = self.clone();
        tokio::spawn(async move {
            let Ok(upgraded) = on.await else {
                return;
            };
            let mut io = TokioIo::new(upgraded);
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = io.read(&mut bytes).await {
                let echo = &bytes[..read];
                if echo == b"bye" {
                    break;
                }
                provider.sent(index, echo);
                if io.write_all(echo).await.is_err() {
                    break;
                }
            }
            provider.finish(index);
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(BodyExt::boxed(
                Full::new(Bytes::new()).map_err(|never| match never {}),
            ))
            .unwrap()
    }
}
