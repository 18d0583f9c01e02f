import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";
import type { ConnectionState } from "../protocol/connection";

interface SignInProps {
  state: ConnectionState;
  onKey: (key: string) => void;
}

/** A field for the API key, while the server wants one. */
export function SignIn({ state, onKey }: SignInProps) {
  const [key, setKey] = useState("");
  if (state.signIn === null) return null;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (key.trim() === "") return;
    onKey(key.trim());
    setKey("");
  };
  return (
    <form className="sign-in" aria-label="Sign in" onSubmit={submit}>
      <TextInput
        label="API key"
        description="This server serves those who have a key. It is kept until you close this tab."
        type="password"
        autoComplete="off"
        spellCheck={false}
        value={key}
        error={state.signIn === "refused" ? "The server does not know that key." : undefined}
        onChange={(event) => setKey(event.currentTarget.value)}
      />
      <Button type="submit" variant="default" disabled={key.trim() === ""}>
        Sign in
      </Button>
    </form>
  );
}
