// The session: a one-time code becomes a token, which lives in this tab and nowhere else.

const KEY = "yoi.session";
const CODE = /^[A-Za-z0-9._~-]{4,8192}$/;
const TOKEN = /^yois?_/;

/** The server does not take this token (any more). */
export class Unauthorized extends Error {}

/** The server cannot be reached, or cannot answer now. */
export class Unreachable extends Error {
  constructor(message, retryAfter = null) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** Returns the code in the page's address, which does not hold it any longer; null without one. */
export function takeCode() {
  const found = /^#code=([^&]*)/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return CODE.test(found[1]) ? found[1] : "";
}

/** Returns the code or token in what a person pasted: a whole link, or one of the two; null. */
export function pasted(words) {
  const value = words.trim();
  const link = /#code=([^&\s]+)$/.exec(value);
  const found = link ? link[1] : value;
  return CODE.test(found) ? found : null;
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new Unreachable("the server cannot be reached");
  }
  if (response.status === 401) throw new Unauthorized();
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After"));
    throw new Unreachable(`the server answers ${response.status}`, after > 0 ? after * 1000 : null);
  }
  try {
    return await response.json();
  } catch {
    throw new Unreachable("the server's answer cannot be read");
  }
}

/** What this tab may see, and how it asks for it. */
export class Session {
  constructor() {
    this._token = sessionStorage.getItem(KEY);
    /** Who the token is: `{principal, expires_at, redact}`, once `check` has asked. */
    this.who = null;
  }

  /** Whether there is a token to try. */
  get held() {
    return Boolean(this._token);
  }

  /** Returns the subprotocols of a WebSocket: the one we speak and the token. */
  protocols() {
    return ["yoi.observe.v1", `yoi.token.${this._token}`];
  }

  /** Exchanges a one-time code for a token. Throws Unauthorized or Unreachable. */
  async exchange(code) {
    const made = await answer("/api/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ code }),
    });
    if (!CODE.test(made?.token ?? "")) throw new Unreachable("the server's answer cannot be read");
    this._keep(made.token);
  }

  /** Takes what a person pasted, a token or a code. Throws Unauthorized or Unreachable. */
  async enter(words) {
    // Wrong codes are counted: what is no code is not tried as one.
    if (!TOKEN.test(words)) {
      await this.exchange(words);
      return this.check();
    }
    this._token = words;
    try {
      await this.check();
    } catch (error) {
      this._token = null;
      throw error;
    }
    return this._keep(words);
  }

  /** Asks who the token is. Throws Unauthorized or Unreachable. */
  async check() {
    this.who = await this.get("/api/session");
  }

  /** Returns the JSON at `path`. Throws Unauthorized or Unreachable. */
  get(path) {
    // Not Authorization: a proxy in front of the server may need that for itself.
    return answer(path, { headers: { "Yoi-Token": this._token } });
  }

  /**
   * Posts `body` to `path`; resolves to "" or to why it was refused. Throws Unauthorized or
   * Unreachable, after which it is not known whether it was carried out.
   */
  async send(path, body) {
    let response;
    try {
      response = await fetch(path, {
        method: "POST",
        cache: "no-store",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json", "Yoi-Token": this._token },
        body: JSON.stringify(body),
      });
    } catch {
      throw new Unreachable("the server cannot be reached; look whether it was decided");
    }
    if (response.status === 401) throw new Unauthorized();
    if (response.ok) return "";
    try {
      return String((await response.json()).message).slice(0, 1000);
    } catch {
      return `the server answers ${response.status}`;
    }
  }

  /** Returns "ok", "expired" or "unreachable". */
  async probe() {
    try {
      await this.check();
      return "ok";
    } catch (error) {
      return error instanceof Unauthorized ? "expired" : "unreachable";
    }
  }

  /** Forgets the token. */
  forget() {
    this._token = null;
    this.who = null;
    sessionStorage.removeItem(KEY);
  }

  _keep(token) {
    this._token = token;
    sessionStorage.setItem(KEY, token);
  }
}
