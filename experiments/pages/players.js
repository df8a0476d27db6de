
/** All players' clock and output; made when something is played, which browsers allow after a press alone. */
let context = null;
const players = [];
const LEAD_S = 0.02; // from a wish to its sound
const FADE_S = 0.01;

/** One song: several sounds of one length, of which one is heard at a time. */
class Player {
  constructor(root) {
    const find = (what) => root.querySelector(what);
    Object.assign(this, { root, at: 0, zero: 0, now: null, wish: 0, coming: null });
    this.seconds = Number(root.dataset.seconds);
    this.sounds = [...root.querySelectorAll("audio")].map((audio, number) => ({
      audio, who: audio.dataset.who, part: audio.dataset.part, picture: root.querySelectorAll(".picture img")[number],
    }));
    this.button = find(".play");
    this.slider = find(".position");
    this.slider.max = this.seconds;
    root.querySelectorAll(".spectrogram, .transport, fieldset").forEach((part) => (part.hidden = false));
    find(".part").hidden = find(".part").querySelectorAll("input").length < 2;
    find(".sounds").hidden = true;
    this.button.addEventListener("click", () => (this.now ? this.pause() : this.play(this.position)));
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => this.step(event));
    find(".picture").addEventListener("click", (event) => {
      const box = find(".picture").getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.seconds);
    });
    root.querySelectorAll("fieldset input").forEach((input) => input.addEventListener("change", () => this.choose()));
    this.choose();
    this.show();
  }

  /** The sound that is chosen; of the mixture there are no parts. */
  get chosen() {
    const checked = (name) => this.root.querySelector(`.${name} input:checked`)?.value;
    const ofWho = this.sounds.filter((sound) => sound.who === checked("who"));
    return ofWho.find((sound) => sound.part === checked("part")) || ofWho[0];
  }

  /** Seconds from the beginning, of what is heard, or will be as soon as it is decoded. */
  get position() {
    if (this.coming !== null) return this.coming;
    return this.now ? Math.min(Math.max(context.currentTime - this.zero, 0), this.seconds) : this.at;
  }

  choose() {
    const { chosen } = this;
    this.sounds.forEach((sound) => (sound.picture.hidden = sound !== chosen));
    this.root.querySelector(".part").disabled = chosen.part === "";
    if (this.now) this.play();
  }

  /** Play what is chosen from a position or, where something is heard, from where that is when it takes over. */
  async play(from = null) {
    const wish = ++this.wish;
    const { chosen } = this;
    this.coming = from ?? this.coming;
    this.show();
    context ??= new AudioContext();
    try {
      await context.resume();
      chosen.buffer ??= await context.decodeAudioData(bytesOf(chosen.audio.src));
    } catch (error) {
      this.fail(chosen);
      return;
    }
    if (wish !== this.wish) return; // another one came meanwhile
    players.forEach((other) => other !== this && other.pause());
    const when = context.currentTime + LEAD_S;
    const offset = this.coming ?? when - this.zero;
    this.coming = null;
    if (offset >= this.seconds) return;
    this.silence(when);
    const source = new AudioBufferSourceNode(context, { buffer: chosen.buffer });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, when).linearRampToValueAtTime(1, when + FADE_S);
    source.connect(gain).connect(context.destination);
    source.start(when, offset);
    source.onended = () => this.now?.source === source && this.pause(0);
    this.zero = when - offset;
    this.now = { source, gain };
    this.show();
  }

  /** Fade out what is heard, from a time of the context on. */
  silence(when) {
    if (!this.now) return;
    this.now.gain.gain.setValueAtTime(1, when).linearRampToValueAtTime(0, when + FADE_S);
    this.now.source.stop(when + FADE_S);
  }

  pause(at = null) {
    this.wish += 1;
    this.at = at ?? this.position;
    this.coming = null;
    if (!this.now) return;
    this.silence(context.currentTime);
    this.now = null;
    this.show();
  }

  seek(to) {
    const at = Math.min(Math.max(to, 0), this.seconds - 0.05);
    if (this.now || this.coming !== null) {
      this.play(at);
    } else {
      this.at = at;
      this.show();
    }
  }

  /** A second back or on, by the arrow keys. */
  step(event) {
    const seconds = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (seconds === undefined) return;
    event.preventDefault();
    this.seek(this.position + seconds);
  }

  /** Show the position, while something is heard again and again. */
  show() {
    const { position } = this;
    this.root.querySelector(".cursor").style.left = `${(100 * position) / this.seconds}%`;
    const says = `${position.toFixed(1)} of ${this.seconds.toFixed(1)}`;
    this.root.querySelector(".time").textContent = `${says} s`;
    this.slider.value = position;
    if (!this.now) this.slider.setAttribute("aria-valuetext", `${says} seconds`); // not spoken all the time
    this.button.textContent = this.now ? "Pause" : "Play";
    this.root.dataset.position = position;
    if (this.now) {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.show());
    }
  }

  /** Say that the browser cannot play a sound, and leave what it may play by itself. */
  fail(sound) {
    this.pause();
    const problem = this.root.querySelector(".problem");
    problem.textContent = `This browser cannot decode the sound of ${sound.who} (Ogg Vorbis).`;
    problem.hidden = false;
    this.root.querySelector(".sounds").hidden = false;
  }
}

/** The bytes of a data: URI. */
function bytesOf(uri) {
  return Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0)).buffer;
}

document.querySelectorAll(".player").forEach((root) => players.push(new Player(root)));
