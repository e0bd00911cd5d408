// The text of cells, exactly as the page has it without script: numbers with four significant digits, ties to even.

const wholeNumber = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const isEven = digit => "02468".includes(digit);

// Digits `d.ddd` and exponent of a positive number.
const significantDigits = size => {
  const [exact, power] = size.toExponential(40).split("e");
  const isTie = /^.{5}50*$/.test(exact);
  const [digits, exponent] = isTie && isEven(exact[4]) ? [exact.slice(0, 5), power] : size.toExponential(3).split("e");
  return [digits, Number(exponent)];
};

const roundHalfToEven = number => {
  const below = Math.floor(number);
  return number - below === 0.5 && below % 2 === 0 ? below : Math.round(number);
};

const formatFloat = number => {
  if (Number.isNaN(number)) return "nan";
  const sign = number < 0 || Object.is(number, -0) ? "-" : "";
  const size = Math.abs(number);
  if (size === Infinity) return `${sign}inf`;
  if (size === 0) return `${sign}0`;
  if (size >= 1e4 && size < 1e9) return wholeNumber.format(roundHalfToEven(number));
  const [digits, exponent] = significantDigits(size);
  if (exponent >= -4 && exponent < 4) return sign + String(Number(`${digits}e${exponent}`));
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${sign}${digits.replace(/\.?0+$/, "")}e${exponent < 0 ? "-" : "+"}${power}`;
};

const formatInteger = number => wholeNumber.format(number);
