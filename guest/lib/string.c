// Memory and strings. Copying and filling use the processor's string instructions.

#include <stdint.h>
#include <string.h>

#ifndef __clang__
// Or the loops below would be recognised for what they are, and call themselves.
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

void* memcpy(void* restrict to, void const* restrict from, size_t count) {
  void* target = to;
  size_t words = count / 8;
  size_t bytes = count % 8;
  __asm__ volatile("rep movsq" : "+D"(target), "+S"(from), "+c"(words) : : "memory");
  __asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(bytes) : : "memory");
  return to;
}

void* memmove(void* to, void const* from, size_t count) {
  // Upwards is right unless the target begins inside the source.
  if ((uintptr_t)to - (uintptr_t)from >= count) return memcpy(to, from, count);
  char* target = to;
  char const* source = from;
  while (count-- > 0) target[count] = source[count];
  return to;
}

void* memset(void* to, int value, size_t count) {
  void* target = to;
  uint64_t pattern = (uint8_t)value * 0x0101010101010101u;
  size_t words = count / 8;
  size_t bytes = count % 8;
  __asm__ volatile("rep stosq" : "+D"(target), "+c"(words) : "a"(pattern) : "memory");
  __asm__ volatile("rep stosb" : "+D"(target), "+c"(bytes) : "a"(pattern) : "memory");
  return to;
}

int memcmp(void const* left, void const* right, size_t count) {
  unsigned char const* a = left;
  unsigned char const* b = right;
  for (size_t i = 0; i < count; ++i) {
    if (a[i] != b[i]) return a[i] - b[i];
  }
  return 0;
}

void* memchr(void const* data, int value, size_t count) {
  unsigned char const* bytes = data;
  for (size_t i = 0; i < count; ++i) {
    if (bytes[i] == (unsigned char)value) return (void*)&bytes[i];
  }
  return NULL;
}

size_t strlen(char const* text) {
  size_t length = 0;
  while (text[length]) ++length;
  return length;
}

size_t strnlen(char const* text, size_t limit) {
  size_t length = 0;
  while (length < limit && text[length]) ++length;
  return length;
}

int strcmp(char const* left, char const* right) { return strncmp(left, right, SIZE_MAX); }

int strncmp(char const* left, char const* right, size_t limit) {
  for (size_t i = 0; i < limit; ++i) {
    unsigned char a = (unsigned char)left[i];
    unsigned char b = (unsigned char)right[i];
    if (a != b) return a - b;
    if (a == 0) return 0;
  }
  return 0;
}

char* strcpy(char* restrict to, char const* restrict from) {
  return memcpy(to, from, strlen(from) + 1);
}

char* strncpy(char* restrict to, char const* restrict from, size_t count) {
  size_t length = strnlen(from, count);
  memcpy(to, from, length);
  memset(to + length, 0, count - length);
  return to;
}

char* strcat(char* restrict to, char const* restrict from) {
  strcpy(to + strlen(to), from);
  return to;
}

char* strchr(char const* text, int c) {
  for (;; ++text) {
    if (*text == (char)c) return (char*)text;
    if (*text == 0) return NULL;
  }
}

char* strrchr(char const* text, int c) {
  char const* last = NULL;
  for (;; ++text) {
    if (*text == (char)c) last = text;
    if (*text == 0) return (char*)last;
  }
}

char* strstr(char const* text, char const* part) {
  size_t length = strlen(part);
  for (;; ++text) {
    if (strncmp(text, part, length) == 0) return (char*)text;
    if (*text == 0) return NULL;
  }
}
