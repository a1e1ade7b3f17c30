/// The memory and string functions of C that guests have.

#ifndef PORTICO_GUEST_STRING_H
#define PORTICO_GUEST_STRING_H

#include <stddef.h>

void* memcpy(void* restrict to, void const* restrict from, size_t count);
void* memmove(void* to, void const* from, size_t count);
void* memset(void* to, int value, size_t count);
int memcmp(void const* left, void const* right, size_t count);
void* memchr(void const* data, int value, size_t count);

size_t strlen(char const* text);
size_t strnlen(char const* text, size_t limit);
int strcmp(char const* left, char const* right);
int strncmp(char const* left, char const* right, size_t limit);
char* strcpy(char* restrict to, char const* restrict from);
char* strncpy(char* restrict to, char const* restrict from, size_t count);
char* strcat(char* restrict to, char const* restrict from);
char* strchr(char const* text, int c);
char* strrchr(char const* text, int c);
char* strstr(char const* text, char const* part);

#endif
