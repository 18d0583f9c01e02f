import { Combobox, Loader, TextInput, useCombobox } from "@mantine/core";
import { useState } from "react";
import type { FoundProduct, Product } from "../protocol/events";
import type { ProductSearch } from "./search";

interface ProductFieldProps {
  search: ProductSearch;
  chosen: Product | null;
  connected: boolean;
  /** On which side of the field there is room for the list. */
  opens: "above" | "below";
  onChoose: (product: Product) => void;
}

/** Search a product while typing and choose one; all of it works from the keyboard. */
export function ProductField({ search, chosen, connected, opens, onChoose }: ProductFieldProps) {
  // Null while nobody types: the field then shows the chosen product.
  const [typed, setTyped] = useState<string | null>(null);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const choose = (id: string): void => {
    const product = search.products.find((one) => one.id === id);
    if (product === undefined) return;
    setTyped(null);
    combobox.closeDropdown();
    onChoose(product);
  };
  const searching = typed !== null && typed.trim() !== "";
  return (
    <Combobox
      store={combobox}
      onOptionSubmit={choose}
      shadow="md"
      position={opens === "above" ? "top-start" : "bottom-start"}
      middlewares={{ flip: false, shift: true }}
      withinPortal={false}
    >
      <Combobox.Target>
        <TextInput
          label="Product"
          className="product-field"
          placeholder="Type a name or model"
          autoComplete="off"
          spellCheck={false}
          maxLength={200}
          value={typed ?? chosen?.name ?? ""}
          rightSection={searching && search.waiting ? <Loader size={14} /> : null}
          onFocus={(event) => event.currentTarget.select()}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            search.type(event.currentTarget.value);
            combobox.openDropdown();
            combobox.resetSelectedOption();
          }}
          onBlur={() => {
            combobox.closeDropdown();
            setTyped(null);
          }}
          onKeyDown={(event) => {
            // With nothing picked, Enter takes the best match.
            if (event.key !== "Enter" || !searching || combobox.selectedOptionIndex !== -1) return;
            const best = search.products[0];
            if (best === undefined || search.waiting) return;
            event.preventDefault();
            choose(best.id);
          }}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={!searching}>
        <Combobox.Options aria-label="Products found">
          {search.products.map((product) => (
            <Combobox.Option key={product.id} value={product.id}>
              <ProductRow product={product} />
            </Combobox.Option>
          ))}
          {search.products.length === 0 && (
            <Combobox.Empty>{emptyWords(connected, search)}</Combobox.Empty>
          )}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}

function emptyWords(connected: boolean, search: ProductSearch): string {
  if (!connected) return "No connection, so no search";
  return search.waiting || search.currentId === null ? "Searching…" : "No product like this";
}

function ProductRow({ product }: { product: FoundProduct }) {
  return (
    <span className="product-row">
      <span>
        <span className="product-name">{product.name}</span>
        <span className="product-kind">
          {[product.brand, product.category].filter(Boolean).join(" · ")}
        </span>
      </span>
      <ManualBadge manual={product.manual} />
    </span>
  );
}

/** Whether there is a manual, and whether its text is ready. */
function ManualBadge({ manual }: { manual: FoundProduct["manual"] }) {
  const state = !manual.available ? "none" : manual.cached ? "ready" : "there";
  const words = { none: "no manual", ready: "manual ready", there: "manual" }[state];
  return (
    <span className="manual-badge" data-manual={state}>
      {words}
    </span>
  );
}
