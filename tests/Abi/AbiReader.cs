using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using VhostXen.Linux;

namespace VhostXen.Abi.Tests;

/// <summary>Turns structs, enums and constants into assertions, by the attributes of src/LibC. What has none is a problem.</summary>
internal sealed class AbiReader
{
    private const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private readonly SortedSet<string> _headers = new(StringComparer.Ordinal);
    private readonly List<AbiAssertion> _assertions = [];
    private readonly List<string> _problems = [];

    public IReadOnlyCollection<string> Headers => _headers;

    public IReadOnlyList<AbiAssertion> Assertions => _assertions;

    /// <summary>Structs, fields, enums and constants nobody tied to C.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>All types of one namespace, nested ones included.</summary>
    public static AbiReader Of(Assembly assembly, string @namespace) =>
        Of(assembly.GetTypes().Where(type => type.Namespace == @namespace).OrderBy(type => type.FullName, StringComparer.Ordinal));

    public static AbiReader Of(IEnumerable<Type> types)
    {
        var reader = new AbiReader();
        foreach (Type type in types)
            reader.Read(type);
        return reader;
    }

    private void Read(Type type)
    {
        if (type.IsDefined(typeof(CompilerGeneratedAttribute)) || type.IsByRefLike || type.IsDefined(typeof(NotInCAttribute)))
            return;
        foreach (CHeaderAttribute header in type.GetCustomAttributes<CHeaderAttribute>())
            _headers.Add(header.Header);
        if (type.IsEnum)
            ReadConstants(type, required: true);
        else if (type.IsValueType)
            ReadStruct(type);
        else
            ReadConstants(type, required: type.IsDefined(typeof(CHeaderAttribute)));
    }

    private void ReadStruct(Type type)
    {
        ReadConstants(type, required: true);
        if (type.GetCustomAttribute<CStructAttribute>() is not { } mapping)
        {
            _problems.Add($"struct {type.FullName}: no [CStruct]");
            return;
        }

        if (mapping.Header is not null)
            _headers.Add(mapping.Header);
        string c = mapping.Name ?? $"struct {type.Name}";
        Assert($"{type.Name} size", $"sizeof({c})", SizeOf(type), mapping.Prefix ? ">=" : "==");
        foreach (FieldInfo field in type.GetFields(Any | BindingFlags.Instance))
        {
            if (field.IsDefined(typeof(NotInCAttribute)))
                continue;
            if (field.IsDefined(typeof(CompilerGeneratedAttribute)))
            {
                _problems.Add($"struct {type.FullName}: {field.Name} is a property's field and has no [CField]");
                continue;
            }

            string member = field.GetCustomAttribute<CFieldAttribute>()?.Name ?? field.Name;
            Assert($"{type.Name}.{field.Name} offset", $"offsetof({c}, {member})", OffsetOf(type, field));
            Assert($"{type.Name}.{field.Name} size", $"sizeof((({c} *)0)->{member})", SizeOf(field.FieldType));
        }
    }

    private void ReadConstants(Type type, bool required)
    {
        bool named = type.IsDefined(typeof(CHeaderAttribute));
        IEnumerable<(MemberInfo Member, object? Value)> constants =
            type.GetFields(Any | BindingFlags.Static).Where(f => f.IsLiteral && f.FieldType != typeof(string))
                .Select(f => ((MemberInfo)f, f.GetRawConstantValue()))
            .Concat(type.GetProperties(Any | BindingFlags.Static).Where(p => required && !p.IsDefined(typeof(NotInCAttribute)))
                .Where(p => p.PropertyType.IsPrimitive || p.PropertyType.IsEnum)
                .Select(p => ((MemberInfo)p, p.GetValue(null))));
        foreach ((MemberInfo member, object? value) in constants)
        {
            if (member.IsDefined(typeof(NotInCAttribute)))
                continue;
            CConstantAttribute? mapping = member.GetCustomAttribute<CConstantAttribute>();
            if (mapping is null && (!named || type.IsEnum))
            {
                if (required)
                    _problems.Add($"{type.FullName}.{member.Name}: no [CConstant]");
                continue;
            }

            if (mapping?.Header is not null)
                _headers.Add(mapping.Header);
            _assertions.Add(new AbiAssertion($"{type.Name}.{member.Name}", mapping?.Name ?? member.Name, "==", Literal(value!)));
        }
    }

    private void Assert(string subject, string expression, int value, string relation = "==") =>
        _assertions.Add(new AbiAssertion(subject, expression, relation, value.ToString()));

    private static string Literal(object value)
    {
        if (value.GetType().IsEnum)
            value = Convert.ChangeType(value, Enum.GetUnderlyingType(value.GetType()));
        return value switch
        {
            ulong or uint or ushort or byte => $"{Convert.ToUInt64(value)}ULL",
            nuint native => $"{native}ULL",
            nint native => $"({native}LL)",
            long.MinValue => "(-9223372036854775807LL - 1)",
            _ => $"({Convert.ToInt64(value)}LL)",
        };
    }

    private static int SizeOf(Type type) =>
        type.IsPointer || type.IsFunctionPointer
            ? nint.Size
            : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    // Asks the JIT, not Marshal: these structs are never marshalled.
    private static int OffsetOf(Type type, FieldInfo field)
    {
        var method = new DynamicMethod("offset", typeof(nint), [type.MakeByRefType()], typeof(AbiReader).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I);
        il.Emit(OpCodes.Ret);
        object?[] boxed = [Activator.CreateInstance(type)];
        return (int)(nint)method.Invoke(null, boxed)!;
    }
}
