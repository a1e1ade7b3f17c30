// printf and its kin: one formatter, which writes to the console or into a buffer.

#include <guest.h>

/// Where formatted bytes go: into `buffer` while there is room, or to the console if there is none.
struct Output {
  char* buffer;
  size_t size;
  size_t written;
};

/// One conversion: what stands between the `%` and its letter.
struct Conversion {
  bool left, zeros, plus, space, prefix;  // the flags - 0 + space #
  int width;
  int precision;  // -1 where there is none
  int size;       // of the integer, in bytes
  char letter;
};

static void put(struct Output* output, char c) {
  if (output->buffer == NULL) {
    putchar(c);
  } else if (output->written < output->size) {
    output->buffer[output->written] = c;
  }
  ++output->written;
}

static void put_many(struct Output* output, char c, int count) {
  while (count-- > 0) put(output, c);
}

static void put_text(struct Output* output, char const* text, int length) {
  for (int i = 0; i < length; ++i) put(output, text[i]);
}

/// Prints `prefix` and `digits` with `zeros` between them, in a field of the conversion's width.
static void put_field(struct Output* output, struct Conversion const* conversion,
                      char const* prefix, int zeros, char const* digits, int length) {
  int prefix_length = (int)strlen(prefix);
  int blanks = conversion->width - prefix_length - zeros - length;
  if (!conversion->left) put_many(output, ' ', blanks);
  put_text(output, prefix, prefix_length);
  put_many(output, '0', zeros);
  put_text(output, digits, length);
  if (conversion->left) put_many(output, ' ', blanks);
}

static void put_number(struct Output* output, struct Conversion const* conversion, uint64_t value,
                       char const* prefix, unsigned base) {
  char const* symbols = conversion->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  char digits[24];
  int first = sizeof digits;
  for (uint64_t rest = value; rest != 0; rest /= base) digits[--first] = symbols[rest % base];
  int length = (int)sizeof digits - first;

  int zeros = 0;
  if (conversion->precision >= 0) {
    zeros = conversion->precision - length;
  } else if (conversion->zeros && !conversion->left) {
    zeros = conversion->width - (int)strlen(prefix) - length;
  }
  // A zero has one digit, unless the precision says none.
  if (zeros <= 0) zeros = value == 0 && conversion->precision != 0;
  if (base == 8 && conversion->prefix && zeros == 0) zeros = 1;
  put_field(output, conversion, prefix, zeros, digits + first, length);
}

static void put_string(struct Output* output, struct Conversion const* conversion,
                       char const* text) {
  if (text == NULL) text = "(null)";
  size_t limit = conversion->precision < 0 ? SIZE_MAX : (size_t)conversion->precision;
  put_field(output, conversion, "", 0, text, (int)strnlen(text, limit));
}

static char const* read_flags(char const* format, struct Conversion* conversion) {
  for (;; ++format) {
    switch (*format) {
      case '-':
        conversion->left = true;
        break;
      case '0':
        conversion->zeros = true;
        break;
      case '+':
        conversion->plus = true;
        break;
      case ' ':
        conversion->space = true;
        break;
      case '#':
        conversion->prefix = true;
        break;
      default:
        return format;
    }
  }
}

static char const* read_number(char const* format, int* number) {
  for (*number = 0; *format >= '0' && *format <= '9'; ++format) {
    if (*number < 100000) *number = *number * 10 + (*format - '0');
  }
  return format;
}

static char const* read_size(char const* format, int* size) {
  *size = 4;
  for (;; ++format) {
    switch (*format) {
      case 'h':
        *size = *size == 2 ? 1 : 2;
        break;
      case 'l':
      case 'z':
      case 't':
      case 'j':
        *size = 8;
        break;
      default:
        return format;
    }
  }
}

static int64_t to_signed(uint64_t value, int size) {
  int shift = 64 - 8 * size;
  return (int64_t)(value << shift) >> shift;
}

static uint64_t to_unsigned(uint64_t value, int size) {
  int shift = 64 - 8 * size;
  return value << shift >> shift;
}

static char const* sign_of(struct Conversion const* conversion, bool negative) {
  if (negative) return "-";
  if (conversion->plus) return "+";
  return conversion->space ? " " : "";
}

static void format_all(struct Output* output, char const* format, va_list arguments) {
  for (; *format; ++format) {
    if (*format != '%') {
      put(output, *format);
      continue;
    }

    struct Conversion conversion = {.precision = -1};
    char const* next = read_flags(format + 1, &conversion);
    if (*next == '*') {
      ++next;
      conversion.width = va_arg(arguments, int);
      if (conversion.width < 0) {
        conversion.left = true;
        conversion.width = -conversion.width;
      }
    } else {
      next = read_number(next, &conversion.width);
    }
    if (next[0] == '.' && next[1] == '*') {
      next += 2;
      conversion.precision = va_arg(arguments, int);
    } else if (*next == '.') {
      next = read_number(next + 1, &conversion.precision);
    }
    next = read_size(next, &conversion.size);
    conversion.letter = *next;

    switch (conversion.letter) {
      case 'd':
      case 'i': {
        uint64_t bits =
            conversion.size == 8 ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        int64_t value = to_signed(bits, conversion.size);
        uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        put_number(output, &conversion, magnitude, sign_of(&conversion, value < 0), 10);
        break;
      }
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        uint64_t bits =
            conversion.size == 8 ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        uint64_t value = to_unsigned(bits, conversion.size);
        unsigned base = conversion.letter == 'u' ? 10 : conversion.letter == 'o' ? 8 : 16;
        char const* prefix = "";
        if (conversion.prefix && base == 16 && value != 0) {
          prefix = conversion.letter == 'x' ? "0x" : "0X";
        }
        put_number(output, &conversion, value, prefix, base);
        break;
      }
      case 'p':
        put_number(output, &conversion, (uintptr_t)va_arg(arguments, void*), "0x", 16);
        break;
      case 'c': {
        char c = (char)va_arg(arguments, int);
        put_field(output, &conversion, "", 0, &c, 1);
        break;
      }
      case 's':
        put_string(output, &conversion, va_arg(arguments, char const*));
        break;
      case '%':
        put(output, '%');
        break;
      default:
        // Not a conversion: print the `%`, and go on behind it.
        put(output, '%');
        continue;
    }
    format = next;
  }
}

int vprintf(char const* format, va_list arguments) {
  struct Output output = {0};
  format_all(&output, format, arguments);
  return (int)output.written;
}

int printf(char const* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int count = vprintf(format, arguments);
  va_end(arguments);
  return count;
}

int vsnprintf(char* buffer, size_t size, char const* format, va_list arguments) {
  char nothing;
  // A buffer of no bytes still is a buffer, and not the console.
  struct Output output = {.buffer = size ? buffer : &nothing, .size = size ? size - 1 : 0};
  format_all(&output, format, arguments);
  if (size) buffer[output.written < size ? output.written : size - 1] = 0;
  return (int)output.written;
}

int snprintf(char* buffer, size_t size, char const* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int count = vsnprintf(buffer, size, format, arguments);
  va_end(arguments);
  return count;
}
