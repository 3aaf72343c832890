// What the address says is being watched: `#/RUNTIME/worker/NAME`.

/** Returns the fragment of a subject `{kind, runtime, name}`. */
export function address({ kind, runtime, name }) {
  return `#/${encodeURIComponent(runtime)}/${kind}/${encodeURIComponent(name)}`;
}

/** Returns the subject that a fragment names, or null. */
export function subjectOf(fragment) {
  const found = /^#\/([^/]+)\/(worker|service|board)\/([^/]+)$/.exec(fragment);
  if (!found) return null;
  try {
    const [runtime, name] = [found[1], found[3]].map(decodeURIComponent);
    return { kind: found[2], runtime, name };
  } catch {
    return null;
  }
}

/** Returns the path of a subject in the server's interface. */
export function path({ kind, runtime, name }) {
  return `/api/runtimes/${encodeURIComponent(runtime)}/${kind}s/${encodeURIComponent(name)}`;
}
