// Drives the Centrifuge SDK for JavaScript: commands come in and events go out as plain JSON, in Node and on a page.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function text(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.text();
}

export class Driver {
  // sdks: the classes by encoding; options: what the SDK needs here besides; emit: takes each event.
  constructor(sdks, options, emit) {
    this.sdks = sdks;
    this.options = options;
    this.emit = emit;
    this.clients = new Map();
  }

  // Does one command; gives {result} or {error: {code, message}}.
  async run({ client, method, ...args }) {
    try {
      if (method === "open") this.clients.set(client, new Client(this, client, args));
      const result = await this.clients.get(client)[method](args);
      if (method === "close") this.clients.delete(client);
      return { result: result === undefined ? null : result };
    } catch (error) {
      return { error: { code: error.code || 0, message: String(error.message || error) } };
    }
  }
}

class Client {
  constructor(driver, name, { encoding, endpoints, emulation, token_url, reconnect_within }) {
    this.binary = encoding === "protobuf";
    this.say = (event, fields) => driver.emit({ client: name, event, ...fields });
    this.window = new EventTarget();
    const options = {
      pageEventTarget: this.window,
      ...driver.options,
      emulationEndpoint: emulation,
      minReconnectDelay: 50,
      maxReconnectDelay: reconnect_within * 1000,
      getToken: () => {
        this.say("asked for a token", {});
        return text(token_url);
      },
    };
    this.sdk = new driver.sdks[encoding](endpoints.length > 1 ? endpoints : endpoints[0].endpoint, options);
    const { say, sdk } = this;
    sdk.on("connecting", ({ code, reason }) => say("connecting", { code, reason }));
    sdk.on("connected", ({ client, transport, data }) => {
      say("connected", { id: client, transport, data: this.read(data) });
    });
    sdk.on("disconnected", ({ code, reason }) => say("disconnected", { code, reason }));
    sdk.on("error", ({ type, error }) => say("error", { type, ...error }));
    this.listen(sdk, "server");
  }

  open() {
    this.sdk.connect();
  }

  reconnect() {
    this.sdk.connect();
  }

  close() {
    this.sdk.disconnect();
  }

  subscribe({ channel, token_url, ...options }) {
    if (token_url) {
      options.getToken = () => {
        this.say("asked for a token", { channel });
        return text(token_url);
      };
    }
    const subscription = this.sdk.newSubscription(channel, options);
    const { say } = this;
    subscription.on("subscribing", ({ code, reason }) => say("subscribing", { channel, code, reason }));
    subscription.on("error", ({ type, error }) => say("error", { channel, type, ...error }));
    this.listen(subscription, "client");
    subscription.subscribe();
  }

  // Subscribes with a handler that throws for the first publication, as an app with a bug does.
  subscribe_with_a_bug({ channel, ...options }) {
    let first = true;
    const subscription = this.sdk.newSubscription(channel, options);
    subscription.on("publication", ({ offset }) => {
      if (!first) return;
      first = false;
      this.say("bug", { channel, offset });
      throw new Error("a bug of the app");
    });
    this.listen(subscription, "client");
    subscription.subscribe();
  }

  subscribe_map({ channel, ...options }) {
    const map = this.sdk.newMapSubscription(channel, options);
    const entry = ({ key, data, removed }) => ({ key, data: this.read(removed ? null : data), removed: Boolean(removed) });
    map.on("sync", ({ entries }) => this.say("sync", { channel, entries: entries.map(entry) }));
    map.on("update", (one) => this.say("update", { channel, ...entry(one) }));
    map.on("subscribed", ({ recovered }) => this.say("subscribed", { channel, recovered }));
    map.subscribe();
  }

  async put({ channel, key, data }) {
    await this.sdk.getMapSubscription(channel).publish(key, this.write(data));
  }

  async remove({ channel, key }) {
    await this.sdk.getMapSubscription(channel).remove(key);
  }

  subscribe_poll({ channel, keys, signature_url }) {
    const poll = this.sdk.newSharedPollSubscription(channel, {
      getSignature: async ({ keys }) => {
        this.say("asked for a signature", { channel, keys });
        return { keys, signature: await text(`${signature_url}&keys=${keys.join(",")}`) };
      },
    });
    poll.on("update", ({ key, data }) => this.say("update", { channel, key, data: this.read(data) }));
    poll.track(keys);
    poll.subscribe();
  }

  // The page goes into the browser's back/forward cache, or comes back from it.
  page({ event }) {
    this.window.dispatchEvent(Object.assign(new Event(event), { persisted: true }));
  }

  unsubscribe({ channel }) {
    this.sdk.getSubscription(channel).unsubscribe();
  }

  async publish({ channel, data }) {
    await this.sdk.publish(channel, this.write(data));
  }

  async rpc({ name, data }) {
    return this.read((await this.sdk.rpc(name, this.write(data))).data);
  }

  async presence({ channel }) {
    const { clients } = await this.sdk.presence(channel);
    return Object.values(clients).map((info) => this.member(info));
  }

  async presence_stats({ channel }) {
    const { numClients, numUsers } = await this.sdk.presenceStats(channel);
    return { clients: numClients, users: numUsers };
  }

  async history({ channel, ...options }) {
    const { publications, offset, epoch } = await this.sdk.history(channel, options);
    return { publications: publications.map((one) => this.publication(one)), offset, epoch };
  }

  // What subscriptions say, by the client's will or the server's.
  listen(source, side) {
    const { say } = this;
    source.on("subscribed", ({ channel, wasRecovering, recovered, streamPosition, data }) => {
      const position = streamPosition ? { offset: streamPosition.offset, epoch: streamPosition.epoch } : null;
      const recovery = { was_recovering: wasRecovering, recovered };
      say("subscribed", { side, channel, ...recovery, position, data: this.read(data) });
    });
    source.on("unsubscribed", ({ channel, code }) => say("unsubscribed", { side, channel, code }));
    source.on("publication", (one) => {
      say("publication", { side, channel: one.channel, ...this.publication(one) });
    });
    source.on("join", ({ channel, info }) => say("join", { side, channel, ...this.member(info) }));
    source.on("leave", ({ channel, info }) => say("leave", { side, channel, ...this.member(info) }));
  }

  publication({ data, offset, info }) {
    return { data: this.read(data), offset: offset || 0, info: info ? this.member(info) : null };
  }

  member({ client, user, connInfo, chanInfo }) {
    return { id: client, user, conn_info: this.read(connInfo), chan_info: this.read(chanInfo) };
  }

  // In Protobuf data is bytes, and these tests put JSON into them.
  write(data) {
    return this.binary ? encoder.encode(JSON.stringify(data)) : data;
  }

  read(data) {
    if (data === undefined || data === null) return null;
    if (!this.binary) return data;
    return data.length ? JSON.parse(decoder.decode(data)) : null;
  }
}
