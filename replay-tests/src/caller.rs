//! An API account, or a user of the console, that calls the HTTP API of one node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// Calls one node with one identity.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    url: String,
    token: String,
}

impl Caller {
    /// Gets a token with the credentials of `first-run.json`.
    ///
    /// # Errors
    /// When the server does not give one.
    pub async fn first_account(url: &str, first_run: &Value) -> Result<Self> {
        let account = &first_run["api_account"];
        let text = |name: &str| {
            account[name]
                .as_str()
                .with_context(|| format!("no {name} in the first run"))
        };
        let client = client()?;
        let answer = client
            .post(format!("{url}/oauth2/token"))
            .basic_auth(text("client_id")?, Some(text("client_secret")?))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await?;
        ensure!(
            answer.status() == StatusCode::OK,
            "no token: {}",
            answer.text().await?
        );
        let answer: Value = answer.json().await?;
        let token = answer["access_token"]
            .as_str()
            .context("no access_token")?
            .to_owned();
        Ok(Self {
            client,
            url: url.to_owned(),
            token,
        })
    }

    /// Signs in to the console.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn console(url: &str, username: &str, password: &str) -> Result<Self> {
        let client = client()?;
        let answer = client
            .post(format!("{url}/api/console/v1/sign-in"))
            .json(&json!({"username": username, "password": password, "bearer": true}))
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "no sign-in: {}",
            answer.text().await?
        );
        let answer: Value = answer.json().await?;
        let token = answer["token"].as_str().context("no token")?.to_owned();
        Ok(Self {
            client,
            url: url.to_owned(),
            token,
        })
    }

    /// The same identity at another node.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            client: self.client.clone(),
            url: url.to_owned(),
            token: self.token.clone(),
        }
    }

    /// What it shows to be let in.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request with the identity, to be finished and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// Sends JSON and expects JSON and success.
    ///
    /// # Errors
    /// When the answer is no success or no JSON.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        read(self.request(method, path).json(body).send().await?, path).await
    }

    /// Sends JSON, and answers the status and the JSON that came, whatever they are.
    ///
    /// # Errors
    /// When nothing or no JSON comes.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self.request(method, path).json(body).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        if text.is_empty() {
            return Ok((status, Value::Null));
        }
        let body = serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?;
        Ok((status, body))
    }

    /// Sends JSON that must be refused with this status and these words; answers all that was said.
    ///
    /// # Errors
    /// When it is not refused, or otherwise.
    pub async fn refused(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        (status, words): (u16, &str),
    ) -> Result<Value> {
        let what = format!("{method} {path} {body}");
        let (given, said) = self.ask(method, path, body).await?;
        ensure!(
            given == status && said["message"] == words,
            "{what} is not refused with {status} \"{words}\": {given} {said}"
        );
        Ok(said)
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// When the answer is no success or no JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        read(self.request(Method::GET, path).send().await?, path).await
    }

    /// Gets text, such as XML.
    ///
    /// # Errors
    /// When the answer is no success.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = self.request(Method::GET, path).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(text)
    }

    /// Lets the first account make as many requests as a load test needs; asks as an administrator of the console.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn lift_rate_limits(&self, account: u32) -> Result<()> {
        let path = format!("/api/console/v1/api-accounts/{account}");
        let body = json!({"requests_per_second": 10_000, "requests_per_hour": 10_000_000});
        self.send(Method::PATCH, &path, &body).await?;
        Ok(())
    }
}

fn client() -> Result<Client> {
    Ok(Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()?)
}

async fn read(answer: Response, path: &str) -> Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{path}: {status}: {text}");
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}
