import { describe, expect, test as it } from "vitest";
import type { Condition } from "./condition.ts";
import { between, chosen, endOf, partsOf, pick, remove, steps, subjectOf, without } from "./filters.ts";

const is = (path: string, value: string): Condition => ({ compare: { path, op: "=", value } });
const any = (path: string, values: string[]): Condition => ({ one_of: { path, values } });
const CT = is("Modality", "CT");

describe("choosing values", () => {
  it("chooses one, and takes it back", () => {
    expect(pick(null, "Modality", "CT", "only")).toEqual(CT);
    expect(pick(CT, "Modality", "CT", "only")).toBeNull();
    expect(pick(CT, "Modality", "MR", "only")).toEqual(is("Modality", "MR"));
  });
  it("adds to what is chosen, and takes away", () => {
    const two = pick(CT, "Modality", "MR", "also");
    expect(two).toEqual(any("Modality", ["CT", "MR"]));
    expect(pick(two, "Modality", "CT", "also")).toEqual(is("Modality", "MR"));
    expect(pick(CT, "Modality", null, "also")).toEqual({ or: [CT, { missing: { path: "Modality" } }] });
  });
  it("excludes", () => {
    const no = pick(null, "Modality", "CT", "not");
    expect(no).toEqual({ not: CT });
    expect(pick(no, "Modality", "MR", "not")).toEqual({ not: any("Modality", ["CT", "MR"]) });
    expect(pick(no, "Modality", "CT", "not")).toBeNull();
    expect(pick(no, "Modality", "CT", "only")).toEqual(CT);
    expect(pick(no, "Modality", "CT", "also")).toEqual(CT);
  });
  it("leaves the place of a condition and the others as they are", () => {
    const old: Condition = { and: [CT, { contains: { path: "StudyDescription", text: "liver" } }] };
    expect(pick(old, "Modality", "MR", "only")).toEqual({ and: [is("Modality", "MR"), partsOf(old)[1]] });
    expect(pick(old, "Modality", "CT", "only")).toEqual(partsOf(old)[1]);
  });
  it("says what is chosen", () => {
    const where: Condition = { and: [any("Modality", ["CT", "MR"]), { not: { missing: { path: "Modality" } } }, is("PatientSex", "F")] };
    expect(chosen(where, "Modality")).toEqual({ is: ["CT", "MR"], not: [null], range: null });
    expect(chosen({ contains: { path: "Modality", text: "C" } }, "Modality")).toEqual({ is: [], not: [], range: null });
  });
});

describe("ranges", () => {
  it("are drawn and taken back", () => {
    const range = { low: "2024-01-01", high: "2024-03-31" };
    const drawn = between(CT, "StudyDate", range);
    expect(drawn).toEqual({ and: [CT, { between: { path: "StudyDate", ...range } }] });
    expect(chosen(drawn, "StudyDate").range).toEqual(range);
    expect(between(drawn, "StudyDate", null)).toEqual(CT);
  });
});

describe("what a chart leaves out", () => {
  const part = { or: [CT, { missing: { path: "Modality" } }] } satisfies Condition;
  const mixed = { or: [CT, is("PatientSex", "F")] } satisfies Condition;
  const same: Condition = { same: { level: "series", part: CT } };
  it("is what it says itself", () => {
    expect(without({ and: [part, is("PatientSex", "F")] }, ["Modality"])).toEqual(is("PatientSex", "F"));
    expect(without({ and: [mixed, same] }, ["Modality"])).toEqual({ and: [mixed, same] });
    expect(without(CT, ["Modality", "StudyDate"])).toBeNull();
  });
  it("has one subject", () => {
    expect([part, mixed, same, { not: part }].map(subjectOf)).toEqual(["Modality", "", "", "Modality"]);
  });
  it("goes when its chip goes", () => {
    expect(remove({ and: [CT, part] }, 0)).toEqual(part);
    expect(remove(CT, 0)).toBeNull();
  });
});

describe("steps of time", () => {
  it.each([
    ["2024-02-01", "month", "2024-02-29"],
    ["2024-10-01", "quarter", "2024-12-31"],
    ["2024-01-01", "year", "2024-12-31"],
    ["2024-12-30", "week", "2025-01-05"],
    ["2024-12-31", "day", "2024-12-31"],
  ])("%s of a %s ends on %s", (day, bin, end) => expect(endOf(day, bin)).toBe(end));
  it("have no gaps", () => {
    expect(steps("2023-11-01", "2024-02-01", "month")).toEqual(["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01"]);
    expect(steps("2024-01-01", "2024-01-01", "day")).toEqual(["2024-01-01"]);
  });
});
