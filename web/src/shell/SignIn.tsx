import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";

interface SignInProps {
  /** The key that was given last was not taken. */
  refused: boolean;
  onKey: (key: string) => void;
}

/** A field for the API key, in the composer's place while the server wants one. */
export function SignIn({ refused, onKey }: SignInProps) {
  const [key, setKey] = useState("");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (key.trim() === "") return;
    onKey(key.trim());
    setKey("");
  };
  return (
    <form className="composer" aria-label="Sign in" onSubmit={submit}>
      <p className="sign-in-words">
        This server answers those who have a key. What you typed is kept meanwhile.
      </p>
      <div className="composer-question">
        <TextInput
          label="API key"
          className="question-field"
          type="password"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          error={refused}
          aria-describedby="sign-in-hint"
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
        />
        <Button type="submit" className="ask-button" disabled={key.trim() === ""}>
          Sign in
        </Button>
      </div>
      <p className="composer-hint" id="sign-in-hint" role="status" data-refused={refused}>
        {refused
          ? "The server does not know that key."
          : "It is kept until you close this tab, and only in this browser."}
      </p>
    </form>
  );
}
